"""DeepHeme in napari."""
