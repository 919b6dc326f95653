"""A gallery of cells that paints what is seen of it only, however many there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QEvent, QPoint, QRect, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractScrollArea, QApplication, QFrame, QScrollBar, QWidget

from napari_deepheme.ui.review.crops import Crop, CropReader, CropRequest
from napari_deepheme.ui.review.grid import Grid, Step
from napari_deepheme.ui.review.preview import Preview
from napari_deepheme.ui.review.reviewer import Reviewer
from napari_deepheme.ui.review.tiles import CAPTION, Look, paint_tile

_LEAST_TILE = 78
_HEADING = 24
_STEPS = {
    Qt.Key.Key_Left: Step.LEFT,
    Qt.Key.Key_Right: Step.RIGHT,
    Qt.Key.Key_Up: Step.UP,
    Qt.Key.Key_Down: Step.DOWN,
    Qt.Key.Key_PageUp: Step.PAGE_UP,
    Qt.Key.Key_PageDown: Step.PAGE_DOWN,
    Qt.Key.Key_Home: Step.FIRST,
    Qt.Key.Key_End: Step.LAST,
}


class Gallery(QAbstractScrollArea):
    """The cells of a :class:`Reviewer` as thumbnails.

    Attributes
    ----------
    empty : str
        What it says where there are none.

    Signals
    -------
    chosen : int
        A person went to a cell, by mouse or arrow.
    dropped : tuple of int, str
        Cells were drawn into the group of another class.
    """

    chosen = Signal(int)
    dropped = Signal(object, str)
    _crop_ready = Signal(object)

    def __init__(
        self,
        reviewer: Reviewer,
        colour_of: Callable[[str], str],
        name_of: Callable[[str], str],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._reviewer, self._colour_of, self._name_of = reviewer, colour_of, name_of
        self.empty = ""
        self._reader: CropReader | None = None
        self._open_readers: list[CropReader] = []
        # no method of this object is called when it is destroyed, hence a function and a list
        self.destroyed.connect(partial(_close_all, self._open_readers))
        self._grid = Grid([0], 1, (_LEAST_TILE, _LEAST_TILE))
        self._pressed: tuple[int, QPoint] | None = None
        self._anchor = 0
        self._dragging = False
        self._preview = Preview(self)
        self._port, self._bar = QWidget(), QScrollBar(Qt.Orientation.Vertical)
        self.setViewport(self._port)
        self.setVerticalScrollBar(self._bar)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setAccessibleName("Gallery of cells")
        self._crop_ready.connect(self._on_crop_ready)

    @property
    def grid(self) -> Grid:
        """Where the tiles lie."""
        return self._grid

    def set_reader(self, reader: CropReader | None) -> None:
        """Take pictures from another reader; the one before is closed."""
        _close_all(self._open_readers)
        self._reader = reader
        self._open_readers.extend([reader] if reader is not None else [])
        self._port.update()

    def announce(self, request: CropRequest) -> None:
        """Say from any thread that a crop was read."""
        self._crop_ready.emit(request)

    def refresh(self) -> None:
        """Follow the reviewer: its list, its place."""
        width = self._port.width()
        columns = max(width // _LEAST_TILE, 1)
        side = max(width // columns, 1)
        heading = _HEADING if self._reviewer.grouped else 0
        sizes = [count for _, count in self._reviewer.groups]
        self._grid = Grid(sizes, columns, (side, side + CAPTION), heading)
        self.setMinimumHeight(heading + 2 * (side + CAPTION))  # two whole rows
        bar = self._bar
        bar.setPageStep(self._port.height())
        bar.setSingleStep((side + CAPTION) // 2)
        bar.setRange(0, max(self._grid.height - self._port.height(), 0))
        self._describe()
        self._port.update()

    def show_current(self) -> None:
        """Scroll until the current cell is seen."""
        if self._reviewer.current < 0:
            return
        _, top = self._grid.place(self._reviewer.current)
        bar, height = self._bar, self._port.height()
        if top < bar.value():
            bar.setValue(top - self._grid.heading)
        elif top + self._grid.tile[1] > bar.value() + height:
            bar.setValue(top + self._grid.tile[1] - height)
        self._describe()
        self._port.update()

    def show_context(self) -> None:
        """Show the surroundings of the current cell beside it, until :meth:`hide_context`."""
        self._show_context(self._reviewer.current)

    def hide_context(self) -> None:
        """Hide the surroundings."""
        self._preview.hide()

    def tile_box(self, index: int) -> QRect:
        """Where a tile lies in the viewport."""
        x, y = self._grid.place(index)
        return QRect(x, y - self._bar.value(), *self._grid.tile)

    # ------------------------------------------------------------------ Qt's events
    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802, ARG002 - Qt's names
        """Paint what is seen."""
        top = self._bar.value()
        seen = self._grid.between(top, top + self._port.height())
        selected = frozenset(self._reviewer.selected)
        with QPainter(self._port) as painter:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            for group in self._grid.headings_between(top, top + self._port.height()):
                self._paint_heading(painter, group, top)
            for index in reversed(seen):  # the newest request is read first: that of the first tile
                tile = self._reviewer.tile(index)
                look = Look(tile.cell in selected, index == self._reviewer.current, self.palette())
                crop = self._crop(CropRequest(*tile.yx))
                paint_tile(painter, self.tile_box(index), tile, crop, self._colour_of(tile.code), look)
            if not len(self._reviewer):
                painter.setPen(self.palette().windowText().color())
                flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
                painter.drawText(self._port.rect().adjusted(12, 0, -12, 0), flags, self.empty)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Lay out anew."""
        super().resizeEvent(event)
        self.refresh()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Arrows and their like move; Shift selects on the way; other keys are for the dock."""
        if event is None:
            return
        step = _STEPS.get(Qt.Key(event.key()))
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if step is None or not len(self._reviewer) or modifiers & Qt.KeyboardModifier.ControlModifier:
            event.ignore()
            return
        there = self._grid.stepped(max(self._reviewer.current, 0), step, self._port.height())
        self._select(there, extend=bool(modifiers & Qt.KeyboardModifier.ShiftModifier))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Select; a press on one of several selected may begin a drag."""
        if event is None or event.button() != Qt.MouseButton.LeftButton:
            return
        self.hide_context()
        point = event.position().toPoint()
        index = self._index_at(point)
        self._pressed = None if index is None else (index, point)
        if index is None:
            return
        held = event.modifiers()
        if held & Qt.KeyboardModifier.ControlModifier:
            self._reviewer.select_index(index, toggle=True)
            self._anchor = index
            self._tell()
        elif held & Qt.KeyboardModifier.ShiftModifier:
            self._select(index, extend=True)
        elif self._reviewer.tile(index).cell not in self._reviewer.selected:
            self._select(index, extend=False)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Draw the selected cells to another class, where they are grouped by class."""
        if event is None or self._pressed is None or not self._reviewer.grouped:
            return
        moved = (event.position().toPoint() - self._pressed[1]).manhattanLength()
        if moved >= QApplication.startDragDistance() and not self._dragging:
            self._dragging = True
            self._port.setCursor(Qt.CursorShape.DragMoveCursor)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """End a drag, or select the one that was clicked."""
        pressed, dragged = self._pressed, self._dragging
        self._pressed, self._dragging = None, False
        self._port.unsetCursor()
        if event is None or pressed is None:
            return
        if dragged:
            group = self._grid.group_at(event.position().toPoint().y() + self._bar.value())
            code = self._reviewer.groups[group][0] if group is not None else ""
            if code and group != self._grid.group_of(pressed[0]):
                self.dropped.emit(self._reviewer.selected, code)
        elif not event.modifiers() and len(self._reviewer.selected) > 1:
            self._select(pressed[0], extend=False)

    def viewportEvent(self, event: QEvent | None) -> bool:  # noqa: N802
        """Show the surroundings of the cell the mouse rests on."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            index = self._index_at(event.pos())
            if index is not None:
                self._show_context(index)
            return True
        if event is not None and event.type() in (QEvent.Type.Leave, QEvent.Type.Wheel):
            self.hide_context()
        return bool(super().viewportEvent(event))

    # ------------------------------------------------------------------ its own
    def _select(self, index: int, *, extend: bool) -> None:
        if extend:
            self._reviewer.select_index(index, since=self._anchor)
        else:
            self._reviewer.select_index(index)
            self._anchor = index
        self._tell()

    def _tell(self) -> None:
        self.show_current()
        if self._reviewer.current_id is not None:
            self.chosen.emit(self._reviewer.current_id)

    def _index_at(self, point: QPoint) -> int | None:
        return self._grid.index_at(point.x(), point.y() + self._bar.value())

    def _crop(self, request: CropRequest) -> Crop | None:
        return self._reader.get(request) if self._reader is not None else None

    def _on_crop_ready(self, request: CropRequest) -> None:
        if request.wide:
            self._preview.take(request, self._crop(request))
        else:
            self._port.update()

    def _show_context(self, index: int) -> None:
        if not 0 <= index < len(self._reviewer):
            return
        tile = self._reviewer.tile(index)
        request = CropRequest(*tile.yx, wide=True)
        beside = self._port.mapToGlobal(self.tile_box(index).topLeft())
        self._preview.show_for(request, beside)
        self._preview.take(request, self._crop(request))

    def _describe(self) -> None:
        """Say the current cell to a screen reader."""
        if not 0 <= self._reviewer.current < len(self._reviewer):
            self.setAccessibleDescription("No cells")
            return
        tile = self._reviewer.tile(self._reviewer.current)
        parts = [f"Cell {tile.cell}", self._name_of(tile.code)]
        parts += ["by a person"] if tile.person else [f"probability {tile.probability:.2f}"]
        parts += ["to review"] if tile.waiting else []
        self.setAccessibleDescription(", ".join(parts))

    def _paint_heading(self, painter: QPainter, group: int, top: int) -> None:
        code, count = self._reviewer.groups[group]
        box = QRect(4, self._grid.heading_top(group) - top, self._port.width() - 8, self._grid.heading)
        painter.setPen(self.palette().windowText().color())
        text = f"{self._name_of(code) or 'no class'} ({code or '?'}) · {count}"
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)


def _close_all(readers: list[CropReader], _destroyed: object = None) -> None:
    while readers:
        readers.pop().close()
