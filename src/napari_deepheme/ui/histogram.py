"""The histogram of the cells' uncertainty, with the review threshold as a line to drag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_deepheme.ui.widgets import tip

_BARS = 40
_HEIGHT, _NEAR_PX = 64, 7
_STEP, _LARGE_STEP = 0.01, 0.1
_TIP = (
    "How many cells have which uncertainty (entropy under the training prior, nats). Drag the line, or move "
    "it with the arrow keys, to review the cells to its right; click a bar to see its cells in Review."
)
_BELOW, _ABOVE, _LINE = QColor("#4c9be8"), QColor("#e8a33d"), QColor("#e03131")


class UncertaintyHistogram(QWidget):
    """Bars of uncertainty and the threshold.

    Signals
    -------
    moved : float
        A person put the threshold elsewhere.
    chosen : float, float
        A person clicked the bar of the uncertainties from the one up to, but not including, the other.
    """

    moved = Signal(float)
    chosen = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.threshold, self._most = 0.0, 1.0
        self.counts: NDArray[np.intp] = np.zeros(_BARS, np.intp)
        self._dragging = False
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Uncertainty of the cells and review threshold")
        tip(self, _TIP)

    def show_values(self, values: NDArray[np.float64], threshold: float, most: float) -> None:
        """Show uncertainties (n,), up to ``most``, and the threshold without telling anyone."""
        self._most = max(most, threshold, 0.1)
        values = values[np.isfinite(values)]
        self.counts = np.histogram(np.minimum(values, self._most), _BARS, (0, self._most))[0]
        if not self._dragging:  # the counts follow a moment later
            self.threshold = threshold
        self._describe()
        self.update()

    def bounds(self, bar: int) -> tuple[float, float]:
        """Uncertainties of a bar; the last one has no upper end."""
        width = self._most / _BARS
        return bar * width, np.inf if bar == _BARS - 1 else (bar + 1) * width

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw bars, threshold and what it is."""
        text = self.palette().text().color()
        high, width = max(int(self.counts.max()), 1), self.width() / _BARS
        room = self.height() - self._line_px
        with QPainter(self) as painter:
            for bar, count in enumerate(self.counts.tolist()):
                if count:
                    # a square root: rare uncertainties stay to be seen beside thousands of sure cells
                    tall = max(1.5, room * np.sqrt(count / high))
                    colour = _ABOVE if self.bounds(bar)[0] >= self.threshold else _BELOW
                    painter.fillRect(QRectF(bar * width, self.height() - tall, width - 1, tall), colour)
            painter.setPen(QPen(text, 1))
            painter.drawLine(0, self.height() - 1, self.width(), self.height() - 1)
            x = self._x_of(self.threshold)
            painter.setPen(QPen(_LINE, 3 if self.hasFocus() else 2))
            painter.drawLine(round(x), 0, round(x), self.height())
            painter.setPen(text)
            self._write(painter, x)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Take hold of the line, or choose a bar."""
        if event is None:
            return
        x = event.position().x()
        if abs(x - self._x_of(self.threshold)) <= _NEAR_PX:
            self._dragging = True
        else:
            bar = min(max(int(x / self.width() * _BARS), 0), _BARS - 1)
            if self.counts[bar]:
                self.chosen.emit(*self.bounds(bar))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Move the line."""
        if event is None:
            return
        x = event.position().x()
        if self._dragging:
            self._move_to(x / self.width() * self._most)
        near = self._dragging or abs(x - self._x_of(self.threshold)) <= _NEAR_PX
        self.setCursor(Qt.CursorShape.SizeHorCursor if near else Qt.CursorShape.PointingHandCursor)

    def mouseReleaseEvent(self, _: QMouseEvent | None) -> None:  # noqa: N802
        """Let go of the line."""
        self._dragging = False

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Move the line by a hundredth, with the page keys by a tenth; Enter chooses all above it."""
        steps = {
            Qt.Key.Key_Left: -_STEP,
            Qt.Key.Key_Right: _STEP,
            Qt.Key.Key_PageDown: -_LARGE_STEP,
            Qt.Key.Key_PageUp: _LARGE_STEP,
        }
        key = None if event is None else Qt.Key(event.key())
        if key in steps:
            self._move_to(self.threshold + steps[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.chosen.emit(self.threshold, np.inf)
        else:
            super().keyPressEvent(event)

    def _move_to(self, value: float) -> None:
        value = round(min(max(value, 0.0), self._most), 2)
        if value != self.threshold:
            self.threshold = value
            self._describe()
            self.update()
            self.moved.emit(value)

    def _describe(self) -> None:
        above = int(sum(n for i, n in enumerate(self.counts) if self.bounds(i)[0] >= self.threshold))
        self.setAccessibleDescription(f"Review above {self.threshold:.2f} nats; about {above} cells.")

    def _write(self, painter: QPainter, x: float) -> None:
        text = f"review above {self.threshold:.2f}"
        width = painter.fontMetrics().horizontalAdvance(text)
        left = x + 5 if x + 5 + width < self.width() else x - 5 - width
        box = QRectF(max(left, 0), 0, width + 1, self._line_px)
        painter.drawText(box, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop), text)

    def _x_of(self, value: float) -> float:
        return self.width() * value / self._most

    @property
    def _line_px(self) -> int:
        return self.fontMetrics().height()
