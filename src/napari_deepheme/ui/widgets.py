"""Small makers of Qt widgets, so that every control has its tooltip and the docks read as lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtGui import QIcon, QShowEvent
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget
from superqt import QCollapsible

W = TypeVar("W", bound=QWidget)

RESEARCH_USE = "Research use only, not for diagnosis."


def tip(widget: W, text: str) -> W:
    """Give a widget its tooltip; as rich text, so that Qt wraps it."""
    widget.setToolTip(f"<qt>{text}</qt>")
    return widget


def button(text: str, tooltip: str, on_click: Callable[[], object]) -> QPushButton:
    """Make a push button."""
    made = tip(QPushButton(text), tooltip)
    made.clicked.connect(on_click)
    return made


class Folded(QCollapsible):
    """A part of a dock that is folded up at first, with its sign in the colour of its title.

    Parameters
    ----------
    title : str
    tooltip : str
        What is in it.
    """

    def __init__(self, title: str, tooltip: str) -> None:
        # superqt's own signs are drawn in black, whatever the theme
        super().__init__(expandedIcon=QIcon(), collapsedIcon=QIcon())
        self._title = title
        self.setDuration(0)
        tip(self.toggleButton(), tooltip)
        self.toggleButton().setStyleSheet("text-align: left; border: none; background: transparent;")
        self.toggled.connect(self._entitle)
        self._entitle(expanded=False)

    def _entitle(self, expanded: bool) -> None:
        self.setText(f"{'▾' if expanded else '▸'} {self._title}")


class Scrolled(QScrollArea):
    """Knows how high its content is also when that changed while it was hidden, which Qt does not tell."""

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Look at the content again."""
        super().showEvent(event)
        self.lay_out_now()
        QCoreApplication.postEvent(self, QEvent(QEvent.Type.LayoutRequest))  # once its width is settled, too

    def lay_out_now(self) -> None:
        """Give the content its height at once, where Qt would for a moment squeeze its parts into another."""
        content = self.widget()
        layout = content.layout() if content is not None else None
        if layout is not None:
            layout.invalidate()
            QCoreApplication.sendEvent(self, QEvent(QEvent.Type.LayoutRequest))


def scrolled(dock: QWidget, width: int) -> tuple[Scrolled, QVBoxLayout]:
    """Give a dock a layout that scrolls inside it, so that no screen is too small; ``width`` is the least."""
    area, content = Scrolled(), QWidget()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    outer = QVBoxLayout(dock)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(area)
    dock.setMinimumWidth(width)
    return area, QVBoxLayout(content)


def label(text: str = "") -> QLabel:
    """Make a line of plain text that wraps and can be copied."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(True)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made
