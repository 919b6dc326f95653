"""The bundle format, and networks that run: images to outputs. Nothing here knows of slides."""
