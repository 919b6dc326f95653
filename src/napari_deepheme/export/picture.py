"""A slide with its cells as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from napari_deepheme.slide.reader import Slide
from napari_deepheme.stats.counting import ordered_classes
from napari_deepheme.tables import write_whole
from napari_deepheme.taxonomy import CellClass, Taxonomy

if TYPE_CHECKING:
    import pandas as pd

_RING_UM = 16.0
_HALO = "#1a1a1a"
"""On both sides of a ring: pale classes have no contrast with glass and red cells."""
_LINE_PX, _MARGIN_PX, _SWATCH_PX, _FONT_PX = 30, 16, 18, 20


def write_picture(slide: Slide, table: pd.DataFrame, taxonomy: Taxonomy, path: Path) -> None:
    """Write the slide as PNG, its longer side at most 2048 px, with a class-coloured ring on each cell.

    A legend names the classes that are there.

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
        centre = ((x + 0.5) / downsample[1] - 0.5, (y + 0.5) / downsample[0] - 0.5)
        _ring(draw, centre, radius, taxonomy[label].colour)
    used = set(table["label"])
    _legend(picture, [each for each in ordered_classes(taxonomy) if each.code in used])
    write_whole(path, lambda part: picture.save(part, "PNG"))


def _ring(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, colour: str) -> None:
    x, y = centre
    for outer, width, shade in ((radius + 1, 4, _HALO), (radius, 2, colour)):
        draw.ellipse((x - outer, y - outer, x + outer, y + outer), outline=shade, width=width)


def _legend(picture: Image.Image, classes: Sequence[CellClass]) -> None:
    """Name the classes in the upper left corner, on a dark ground."""
    if not classes:
        return
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_PX)
    left = 2 * _MARGIN_PX + _SWATCH_PX
    right = left + max(font.getlength(each.name) for each in classes) + _MARGIN_PX
    draw.rectangle((0, 0, right, len(classes) * _LINE_PX + _MARGIN_PX), fill=_HALO)
    for line, each in enumerate(classes):
        top = _MARGIN_PX / 2 + line * _LINE_PX + (_LINE_PX - _SWATCH_PX) / 2
        box = (_MARGIN_PX, top, _MARGIN_PX + _SWATCH_PX, top + _SWATCH_PX)
        draw.ellipse(box, fill=each.colour, outline="#f2f2f2")
        draw.text((left, top + _SWATCH_PX / 2), each.name, fill="#f2f2f2", font=font, anchor="lm")
