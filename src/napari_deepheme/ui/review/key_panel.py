"""The classes on screen, each with its colour and its key; a click does what the key does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap, QResizeEvent
from qtpy.QtWidgets import QGridLayout, QSizePolicy, QToolButton, QWidget

from napari_deepheme.taxonomy import CellClass
from napari_deepheme.ui.review.keys import ClassKeys
from napari_deepheme.ui.widgets import tip

_MOST_COLUMNS = 3
_FEWEST_LETTERS = 4  # of a shortened word: “Poly. erythrocyte”
_SWATCH = 12


def swatch(colour: str) -> QPixmap:
    """A small square of a colour in a dark frame."""
    picture = QPixmap(_SWATCH, _SWATCH)
    picture.fill(QColor("#1a1a1a"))
    with QPainter(picture) as painter:
        painter.fillRect(1, 1, _SWATCH - 2, _SWATCH - 2, QColor(colour))
    return picture


class KeyPanel(QWidget):
    """Buttons of the classes.

    Signals
    -------
    pressed : str
        Class code.
    """

    pressed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Classes and their keys")
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(0)
        self._classes: list[tuple[QToolButton, str, str]] = []
        self._columns = 0

    def show_classes(self, classes: Sequence[CellClass], keys: ClassKeys) -> None:
        """Show these classes, down the columns."""
        for button in self.buttons:
            self._grid.removeWidget(button)
            button.deleteLater()
        self._classes = [self._button(each, keys.key_of(each.code)) for each in classes]
        self._columns = 0
        self._fit()

    @property
    def buttons(self) -> list[QToolButton]:
        """The buttons in the order of the classes."""
        return [button for button, _, _ in self._classes]

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take as many columns as the names leave room for."""
        super().resizeEvent(event)
        self._fit()

    def _button(self, each: CellClass, key: str) -> tuple[QToolButton, str, str]:
        """A button with what stands before its name, and the name."""
        button = tip(QToolButton(), f"{each.name} ({each.code}); key {key.upper() or 'none'}")
        button.setAccessibleName(f"{each.name}, key {key or 'none'}")
        button.setIcon(QIcon(swatch(each.colour)))
        button.setIconSize(QSize(_SWATCH, _SWATCH))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setAutoRaise(True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda: self.pressed.emit(each.code))
        return button, f"{key or '–'}  ", each.name

    def _fit(self) -> None:
        """As many columns as hold every name, whole or with a shortened first word."""
        if not self._classes:
            return
        metrics = self.fontMetrics()
        # icon and margins, which differ from style to style
        around = max(b.sizeHint().width() - metrics.horizontalAdvance(b.text()) for b in self.buttons)

        def needed(form: Callable[[str], str], columns: int) -> list[int]:
            widths = [metrics.horizontalAdvance(key + form(name)) + around for _, key, name in self._classes]
            rows = -(-len(widths) // columns)
            return [max(widths[i : i + rows]) for i in range(0, len(widths), rows)]

        columns = next(
            (n for n in range(_MOST_COLUMNS, 1, -1) if sum(needed(shortest, n)) <= self.width()), 1
        )
        least, whole = needed(shortest, columns), needed(str, columns)
        spare = (self.width() - sum(least)) / max(sum(whole) - sum(least), 1)
        widths = [a + int(min(max(spare, 0.0), 1.0) * (b - a)) for a, b in zip(least, whole, strict=True)]
        self._place(columns, widths)
        rows = -(-len(self._classes) // columns)
        for i, (button, key, name) in enumerate(self._classes):
            room = widths[i // rows] - around
            forms = (key + each for each in shorter(name))
            button.setText(
                next((each for each in forms if metrics.horizontalAdvance(each) <= room), key + name)
            )

    def _place(self, columns: int, widths: Sequence[int]) -> None:
        rows = -(-len(self._classes) // columns)
        if columns != self._columns:
            self._columns = columns
            for i, button in enumerate(self.buttons):
                self._grid.addWidget(button, i % rows, i // rows)
        for i in range(_MOST_COLUMNS):
            self._grid.setColumnStretch(i, widths[i] if i < len(widths) else 0)


def shorter(name: str) -> Iterator[str]:
    """A name, then with ever less of its first word; the last word, which tells the kind of cell, stays."""
    yield name
    first, _, rest = name.partition(" ")
    if rest:
        yield from (f"{first[:n]}. {rest}" for n in range(len(first) - 2, _FEWEST_LETTERS - 1, -1))


def shortest(name: str) -> str:
    """The shortest form of a name."""
    *_, last = shorter(name)
    return last
