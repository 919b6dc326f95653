"""DeepHeme in the napari window; nothing below this package knows of napari or Qt."""
