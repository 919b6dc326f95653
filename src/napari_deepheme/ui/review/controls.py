"""What is on the dock “Review”: the controls above the gallery, the cell, the keys and the progress below."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_deepheme.ui.review.order import CellFilter, Order, Show
from napari_deepheme.ui.widgets import tip

_ANY_CLASS, _ANY_FIELD = "any class", "any field"
_SHOW_TIPS = (
    "Which cells: to review are those the ensemble is unsure of or that are unlike its training cells, the "
    "settled ones among them; still to review leaves those out. Audit: those drawn at random (Summary)."
)
_SORT_TIPS = (
    "Which come first: the most uncertain, the least confident, those the members disagree on, those least "
    "like the training cells, those whose label teaches most, or as they lie on the slide."
)


class FilterBar(QWidget):
    """Chooses the cells and their order.

    Signals
    -------
    changed : None
    used : None
        A person chose something: the keys belong to the gallery again.
    """

    changed = Signal()
    used = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.show_combo = _combo("Cells shown", _SHOW_TIPS, [(each.value, each) for each in Show])
        self.order_combo = _combo("Order of the cells", _SORT_TIPS, [(each.value, each) for each in Order])
        self.class_combo = _combo("Class of the cells shown", "Only cells of one class.", [(_ANY_CLASS, "")])
        self.region_combo = _combo(
            "Field of the cells shown", "Only cells of one field or region.", [(_ANY_FIELD, "")]
        )
        self.group_check = tip(
            QCheckBox("&group"), "A group for each class; selected cells can be drawn into another."
        )
        for combo in self._combos():
            combo.currentIndexChanged.connect(lambda _: self.changed.emit())
            combo.activated.connect(lambda _: self.used.emit())
        self.group_check.toggled.connect(lambda _: self.changed.emit())
        self.group_check.clicked.connect(lambda _: self.used.emit())
        self._lay_out()

    @property
    def wanted(self) -> CellFilter:
        """The filter chosen."""
        return CellFilter(
            self.show_combo.currentData(), self.class_combo.currentData(), self.region_combo.currentData()
        )

    @property
    def order(self) -> Order:
        """The order chosen."""
        order: Order = self.order_combo.currentData()
        return order

    @property
    def grouped(self) -> bool:
        """Whether there is a group for each class."""
        return bool(self.group_check.isChecked())

    def choose(self, wanted: CellFilter) -> None:
        """Choose a filter."""
        self.show_combo.setCurrentIndex(self.show_combo.findData(wanted.show))
        for combo, value in ((self.class_combo, wanted.label), (self.region_combo, wanted.region)):
            combo.setCurrentIndex(max(combo.findData(value), 0))

    def offer(self, classes: Sequence[tuple[str, str]], regions: Sequence[str]) -> None:
        """Offer classes (text, code) and regions; a choice that is still offered stays."""
        _fill(self.class_combo, [(_ANY_CLASS, ""), *classes])
        _fill(self.region_combo, [(_ANY_FIELD, ""), *((each, each) for each in regions)])

    def _combos(self) -> tuple[QComboBox, ...]:
        return self.show_combo, self.order_combo, self.class_combo, self.region_combo

    def _lay_out(self) -> None:
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(2)
        first, second = QHBoxLayout(), QHBoxLayout()
        for text, combo in (("&Show", self.show_combo), ("S&ort", self.order_combo)):
            name = QLabel(text)
            name.setBuddy(combo)
            first.addWidget(name)
            first.addWidget(combo, 1)
        second.addWidget(self.class_combo, 1)
        second.addWidget(self.region_combo, 1)
        second.addWidget(self.group_check)
        rows.addLayout(first)
        rows.addLayout(second)


def _combo(name: str, tooltip: str, items: Sequence[tuple[str, object]]) -> QComboBox:
    combo = tip(QComboBox(), tooltip)
    combo.setAccessibleName(name)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(3)
    for text, data in items:
        combo.addItem(text, data)
    return combo


def _fill(combo: QComboBox, items: Sequence[tuple[str, object]]) -> None:
    if [(combo.itemText(i), combo.itemData(i)) for i in range(combo.count())] == list(items):
        return
    chosen = combo.currentData()
    blocked = combo.blockSignals(True)
    combo.clear()
    for text, data in items:
        combo.addItem(text, data)
    combo.setCurrentIndex(max(combo.findData(chosen), 0))
    combo.blockSignals(blocked)
