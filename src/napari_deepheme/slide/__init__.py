"""Whole-slide images and fields of view: opened lazily, read by µm/px."""

from napari_deepheme.slide.metadata import Level, SlideInfo
from napari_deepheme.slide.planes import Damaged
from napari_deepheme.slide.reader import Slide, open_slide

__all__ = ["Damaged", "Level", "Slide", "SlideInfo", "open_slide"]
