"""Where the metadata of our layers say what they are."""

from enum import StrEnum


class LayerKey(StrEnum):
    """Keys of a layer's metadata."""

    CELLS = "deepheme"
    """Of a layer of cells: where they come from (:class:`Origin`)."""
    ANALYSIS = "analysis"
    """Of a layer of cells: path of the analysis file."""
    FIELDS = "deepheme_fields"
    """Of an overlay of judged fields."""
    SLIDE = "deepheme_slide"
    """Of an image: path of the slide."""
    MPP = "mpp"
    """Of an image: µm/px (y, x)."""
    MPP_SOURCE = "mpp_source"
    """Of an image: where the µm/px come from."""
