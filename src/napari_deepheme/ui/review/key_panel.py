"""The classes on screen, each with its colour and its key; a click does what the key does."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap, QResizeEvent
from qtpy.QtWidgets import QGridLayout, QSizePolicy, QToolButton, QWidget

from napari_deepheme.taxonomy import CellClass
from napari_deepheme.ui.review.keys import ClassKeys
from napari_deepheme.ui.widgets import tip

_COLUMNS = 3
_SWATCH = 12
_AROUND = _SWATCH + 8  # swatch and margins of a button


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
        self._grid.setSpacing(1)
        self._buttons: list[tuple[QToolButton, str]] = []

    def show_classes(self, classes: Sequence[CellClass], keys: ClassKeys) -> None:
        """Show these classes, down the columns."""
        for button, _ in self._buttons:
            self._grid.removeWidget(button)
            button.deleteLater()
        self._buttons = []
        rows = -(-len(classes) // _COLUMNS)
        for i, each in enumerate(classes):
            button = self._button(each, keys.key_of(each.code))
            self._grid.addWidget(button, i % max(rows, 1), i // max(rows, 1))
        for column in range(_COLUMNS):
            self._grid.setColumnStretch(column, 1)
        self._fit()

    @property
    def buttons(self) -> list[QToolButton]:
        """The buttons in the order of the classes."""
        return [button for button, _ in self._buttons]

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Shorten the names to what there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _button(self, each: CellClass, key: str) -> QToolButton:
        button = tip(QToolButton(), f"{each.name} ({each.code}); key {key.upper() or 'none'}")
        button.setAccessibleName(f"{each.name}, key {key or 'none'}")
        button.setIcon(QIcon(swatch(each.colour)))
        button.setIconSize(QSize(_SWATCH, _SWATCH))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setAutoRaise(True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda: self.pressed.emit(each.code))
        self._buttons.append((button, f"{key or '–'}  {each.name}"))
        return button

    def _fit(self) -> None:
        room = max(self.width() // _COLUMNS - _AROUND, 1)
        for button, text in self._buttons:
            button.setText(button.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room))
