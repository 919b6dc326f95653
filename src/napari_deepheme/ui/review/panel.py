"""The widgets of the dock “Review” and where they lie; what they do is the dock's."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_deepheme.taxonomy import CellClass
from napari_deepheme.ui.review.controls import FilterBar
from napari_deepheme.ui.review.gallery import Gallery
from napari_deepheme.ui.review.key_panel import KeyPanel
from napari_deepheme.ui.review.keys import NEXT_KEY, NO_CELL_KEY, ClassKeys, in_key_order
from napari_deepheme.ui.review.learn_box import LearnBox
from napari_deepheme.ui.review.legend import Legend
from napari_deepheme.ui.review.reviewer import Reviewer
from napari_deepheme.ui.widgets import Folded, label, tip

_LAID_OUT_MS = 50


class ReviewPanel(QScrollArea):
    """Filters, gallery, the cell one is at, keys and progress, from above.

    It scrolls inside, so that the window never grows past a small screen.

    Parameters
    ----------
    reviewer : Reviewer
    class_of : callable
        The class of a code.
    learn_box : LearnBox
    """

    def __init__(
        self, reviewer: Reviewer, class_of: Callable[[str], CellClass], learn_box: LearnBox, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self.learn_box = learn_box
        self.filters = FilterBar()
        self.gallery = Gallery(
            reviewer,
            lambda code: class_of(code).colour,
            lambda code: class_of(code).name if code else "no class",
        )
        self.what, self.why, self.message, self.help = label(), label(), label(), label()
        self.count = tip(label(), "Cells of those shown that a person settled; cells of all that still wait.")
        self.key_panel = KeyPanel()
        self.keys_button = tip(QPushButton("&Keys…"), "Choose which key gives which class.")
        self.add_button = tip(
            QPushButton("&Add missed cells"), "While pressed, a click on the slide adds a cell there."
        )
        self.add_button.setCheckable(True)
        self.legend = Legend()
        self.filters.used.connect(self.gallery.setFocus)
        # once it is laid out; on a small screen it would lie below what is seen
        self._answer = QTimer(self)
        self._answer.setSingleShot(True)
        self._answer.timeout.connect(lambda: self.ensureWidgetVisible(learn_box, 0, 0))
        learn_box.answered.connect(lambda: self._answer.start(_LAID_OUT_MS))
        self._lay_out()

    def show_keys(self, classes: list[CellClass], keys: ClassKeys) -> None:
        """Show classes with their keys, and which keys are left to the actions."""
        go_on = "Ctrl-→" if NEXT_KEY in keys.codes else NEXT_KEY.upper()
        no_cell = "Del" if NO_CELL_KEY in keys.codes else NO_CELL_KEY.upper()
        self.help.setText(f"Enter ✓ · {go_on} next · {no_cell} no cell · Space wider · Ctrl-Z")
        self.key_panel.show_classes(in_key_order(classes, keys), keys)

    def enable(self, on: bool) -> None:
        """Let a person use what needs cells, or not."""
        for widget in (self.filters, self.gallery, self.key_panel, self.keys_button, self.add_button):
            widget.setEnabled(on)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.keys_button)
        classes = Folded(
            "Classes present and progress",
            "The colour of each class, and how many of its cells to review are settled.",
        )
        classes.addWidget(self.legend)
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setSpacing(3)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addWidget(self.filters)
        layout.addWidget(self.gallery, 1)
        for widget in (self.what, self.why, self.message, self.key_panel, self.help, self.count):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        layout.addWidget(self.learn_box)
        layout.addWidget(classes)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(inner)
