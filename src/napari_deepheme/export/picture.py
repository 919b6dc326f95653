"""A slide with its cells as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from napari_deepheme.slide.reader import Slide
from napari_deepheme.tables import write_whole
from napari_deepheme.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pandas as pd

_RING_UM = 16.0


def write_picture(slide: Slide, table: pd.DataFrame, taxonomy: Taxonomy, path: Path) -> None:
    """Write the slide as PNG, its longer side at most 2048 px, with a class-coloured ring on each cell.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    pixels, downsample = slide.overview()
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    radius = max(4.0, _RING_UM / 2 / (slide.scale()[0] * downsample[0]))
    for x, y, label in zip(table["x_px"], table["y_px"], table["label"], strict=True):
        column, row = (x + 0.5) / downsample[1] - 0.5, (y + 0.5) / downsample[0] - 0.5
        box = (column - radius, row - radius, column + radius, row + radius)
        draw.ellipse(box, outline=taxonomy[label].colour, width=2)
    write_whole(path, lambda part: picture.save(part, "PNG"))
