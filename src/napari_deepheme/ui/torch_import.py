"""Imports torch before the first analysis in a napari window."""

from __future__ import annotations

from importlib import import_module


def import_torch() -> None:
    """Import torch; takes seconds, so call it on a worker thread."""
    import_module("torch")
