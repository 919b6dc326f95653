"""Paints one cell of the gallery: its picture, whose class it is, how sure, what is to be done."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPalette, QPen

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.slide.planes import Pixels
from napari_deepheme.ui.review.crops import Crop
from napari_deepheme.ui.review.protocol import Tile

MARGIN, FRAME, CAPTION = 3, 3, 18
_MARK = 11
_PERSON = "✎"


@dataclass(frozen=True, slots=True)
class Look:
    """Whether a tile is selected, whether it is the one that keys act on, and the colours of the window."""

    selected: bool
    current: bool
    palette: QPalette


def image_of(pixels: Pixels) -> QImage:
    """A picture of RGB pixels; it holds a copy of them."""
    height, width = pixels.shape[:2]
    return QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def paint_tile(painter: QPainter, box: QRect, tile: Tile, crop: Crop | None, colour: str, look: Look) -> None:
    """Paint a tile into a box of the gallery."""
    palette = look.palette
    inner = box.adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
    if look.selected:
        painter.fillRect(box.adjusted(1, 1, -1, -1), palette.color(QPalette.ColorRole.Highlight))
    picture = QRect(inner.left(), inner.top(), inner.width(), inner.height() - CAPTION)
    painter.fillRect(picture, QColor(colour))
    inside = picture.adjusted(FRAME, FRAME, -FRAME, -FRAME)
    _paint_crop(painter, inside, crop, palette)
    if tile.waiting:
        _paint_mark(painter, inside)
    if look.current:
        painter.setPen(QPen(palette.color(QPalette.ColorRole.WindowText), 2))
        painter.drawRect(box.adjusted(1, 1, -2, -2))
    role = QPalette.ColorRole.HighlightedText if look.selected else QPalette.ColorRole.WindowText
    painter.setPen(palette.color(role))
    caption = QRect(inner.left(), inner.bottom() - CAPTION + 1, inner.width(), CAPTION)
    painter.drawText(caption, Qt.AlignmentFlag.AlignCenter, caption_of(tile))


def caption_of(tile: Tile) -> str:
    """Class and probability; a pencil instead where a person gave the class."""
    if tile.person:
        return f"{tile.code or '?'} {_PERSON}"
    return f"{tile.code or '?'} {tile.probability:.2f}".replace(" nan", "")


def _paint_crop(painter: QPainter, box: QRect, crop: Crop | None, palette: QPalette) -> None:
    if crop is None or isinstance(crop, DeepHemeError):
        painter.fillRect(box, palette.color(QPalette.ColorRole.Base))
        painter.setPen(palette.color(QPalette.ColorRole.Text))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "…" if crop is None else "✕")
        return
    painter.drawImage(box, image_of(crop))


def _paint_mark(painter: QPainter, box: QRect) -> None:
    """The square of the cells to review, as on the slide."""
    mark = QRect(box.left() + 3, box.top() + 3, _MARK, _MARK)
    painter.fillRect(mark, QColor("#ffffff"))
    painter.setPen(QPen(QColor("#1a1a1a"), 2))
    painter.drawRect(mark)
