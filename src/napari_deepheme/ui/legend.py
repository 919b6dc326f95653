"""What the colours and shapes on the canvas mean, as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers.points._points_constants import Symbol
from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QImage, QLinearGradient, QPainter, QPen, QPolygonF

from napari_deepheme.stats.counting import ordered_classes
from napari_deepheme.taxonomy import CellClass
from napari_deepheme.ui.display import (
    COLORMAP,
    DISC,
    LINEAGE_SYMBOLS,
    TO_REVIEW,
    ColourBy,
    Display,
    Scale,
    scale_of,
)
from napari_deepheme.ui.palette import HALO
from napari_deepheme.ui.session import Session

_TEXT, _GROUND = QColor("#f2f2f2"), QColor(20, 20, 20, 205)
_PLAIN = "#cfcfcf"  # of a shape that has no colour of its own
_FONT_PX, _LINE_PX, _MARGIN_PX, _SWATCH_PX = 12, 17, 8, 11
_BAR_PX = (120, 12)
_STOPS = 8

_CORNERS: dict[Symbol, list[tuple[float, float]]] = {
    Symbol.SQUARE: [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    Symbol.DIAMOND: [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)],
    Symbol.TRIANGLE_UP: [(0, -1.1), (1.1, 0.9), (-1.1, 0.9)],
    Symbol.TRIANGLE_DOWN: [(0, 1.1), (1.1, -0.9), (-1.1, -0.9)],
    Symbol.ARROW: [(-0.6, -1.1), (0.5, 0), (-0.6, 1.1), (-0.1, 1.1), (1, 0), (-0.1, -1.1)],
    Symbol.STAR: [
        (r * np.sin(i * np.pi / 5), -r * np.cos(i * np.pi / 5))
        for i in range(10)
        for r in [1.2 - 0.7 * (i % 2)]
    ],
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: colour ``#rrggbb`` and shape, and what they mean."""

    colour: str
    symbol: Symbol
    text: str


@dataclass(frozen=True, slots=True)
class Legend:
    """All lines, and a colour bar with its title where colours are those of a number."""

    entries: tuple[Entry, ...] = ()
    title: str = ""
    scale: Scale | None = None


def legend_of(session: Session, display: Display, hidden: frozenset[str] = frozenset()) -> Legend:
    """Describe what is shown of the cells of an analysis; nothing without cells."""
    table = session.table
    used = set(table["label"].unique()) - hidden
    present = [each for each in ordered_classes(session.taxonomy) if each.code in used]
    waiting = bool(session.to_review().any())
    marks = [] if display.lineage_shapes or not waiting else [Entry(_PLAIN, TO_REVIEW, "to review")]
    if display.colour_by is ColourBy.CLASS:
        lines = [Entry(each.colour, _symbol(each, display), each.name) for each in present]
        return Legend((*lines, *(marks if lines else [])))
    shapes: list[Entry] = []
    if display.lineage_shapes:
        lineages = dict.fromkeys(each.lineage for each in present)
        shapes = [Entry(_PLAIN, LINEAGE_SYMBOLS[each], each.value) for each in lineages]
    if not present:
        return Legend()
    return Legend((*shapes, *marks), str(display.colour_by), scale_of(table, display.colour_by))


def draw(legend: Legend, ratio: float = 1.0) -> QImage:
    """Draw a legend; ``ratio`` device pixels for each pixel. Empty for nothing to say."""
    if not legend.entries and legend.scale is None:
        return QImage()
    font = QFont()
    font.setPixelSize(_FONT_PX)
    metrics = QFontMetricsF(font)
    texts = [metrics.horizontalAdvance(each.text) + _SWATCH_PX + 8 for each in legend.entries]
    bar = [] if legend.scale is None else [_BAR_PX[0], metrics.horizontalAdvance(legend.title)]
    lines = len(legend.entries) + (0 if legend.scale is None else 2) + 0.6 * (legend.scale is not None)
    width, height = max(texts + bar) + 2 * _MARGIN_PX, lines * _LINE_PX + 2 * _MARGIN_PX
    image = QImage(round(width * ratio), round(height * ratio), QImage.Format.Format_RGBA8888)
    image.setDevicePixelRatio(ratio)
    image.fill(Qt.GlobalColor.transparent)
    with QPainter(image) as painter:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(font)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_GROUND)
        painter.drawRoundedRect(QRectF(0, 0, width, height), 4, 4)
        top = float(_MARGIN_PX)
        if legend.scale is not None:
            top = _draw_bar(painter, legend, top)
        for each in legend.entries:
            _draw_entry(painter, each, top)
            top += _LINE_PX
    return image


def pixels_of(image: QImage) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """RGBA of a picture, shape (h, w, 4)."""
    bits: Any = image.constBits()
    if hasattr(bits, "setsize"):  # PyQt's pointer does not know how far it may be read
        bits.setsize(image.sizeInBytes())
    rows = np.frombuffer(bits, np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 4 * image.width()].reshape(image.height(), image.width(), 4).copy()


def _symbol(cell_class: CellClass, display: Display) -> Symbol:
    return LINEAGE_SYMBOLS[cell_class.lineage] if display.lineage_shapes else DISC


def _draw_entry(painter: QPainter, entry: Entry, top: float) -> None:
    half = _SWATCH_PX / 2
    centre = QPointF(_MARGIN_PX + half, top + _LINE_PX / 2)
    painter.setPen(QPen(QColor(HALO), 1))
    painter.setBrush(QColor(entry.colour))
    corners = _CORNERS.get(entry.symbol)
    if corners is None:
        painter.drawEllipse(centre, half, half)
    else:
        size = half * 0.85
        painter.drawPolygon(QPolygonF([centre + QPointF(x * size, y * size) for x, y in corners]))
    _write(painter, QRectF(_MARGIN_PX + _SWATCH_PX + 8, top, 1000, _LINE_PX), entry.text)


def _draw_bar(painter: QPainter, legend: Legend, top: float) -> float:
    """Title, bar and the numbers at its ends; gives where the lines begin."""
    scale = legend.scale or Scale(0, 1)
    width, height = _BAR_PX
    _write(painter, QRectF(_MARGIN_PX, top, 1000, _LINE_PX), legend.title)
    gradient = QLinearGradient(_MARGIN_PX, 0, _MARGIN_PX + width, 0)
    for share in np.linspace(0, 1, _STOPS):
        r, g, b, _ = (255 * ensure_colormap(COLORMAP).map(share).ravel()).astype(int).tolist()
        gradient.setColorAt(float(share), QColor(r, g, b))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.fillRect(QRectF(_MARGIN_PX, top + _LINE_PX, width, height), gradient)
    below = top + _LINE_PX + height
    ends = QRectF(_MARGIN_PX, below, width, _LINE_PX)
    _write(painter, ends, f"{scale.low:.2g}")
    _write(painter, ends, f"{scale.high:.2g}", right=True)
    return below + _LINE_PX


def _write(painter: QPainter, box: QRectF, text: str, *, right: bool = False) -> None:
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    painter.setPen(_TEXT)
    painter.drawText(box, int(side | Qt.AlignmentFlag.AlignVCenter), text)
