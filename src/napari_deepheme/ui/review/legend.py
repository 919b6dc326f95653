"""The classes that are present: colour, name, how many, how far their review is. The window's legend."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QProgressBar, QWidget

from napari_deepheme.taxonomy import CellClass
from napari_deepheme.ui.review.key_panel import swatch
from napari_deepheme.ui.review.order import ClassProgress
from napari_deepheme.ui.widgets import tip

_BAR_PX = 70


class Legend(QWidget):
    """A line for each class present; with a bar of its review where there is something to review."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Classes present and the progress of their review")
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(1)
        self._grid.setColumnStretch(1, 1)
        self._lines: dict[str, tuple[QLabel, QLabel, QLabel, QProgressBar]] = {}

    @property
    def codes(self) -> list[str]:
        """Classes shown, from above."""
        return list(self._lines)

    def line(self, code: str) -> str:
        """What is shown of a class, as text."""
        _, name, count, bar = self._lines[code]
        return f"{name.text()} {count.text()} {bar.value()}/{bar.maximum()}"

    def show_progress(
        self, progress: Mapping[str, ClassProgress], class_of: Callable[[str], CellClass], order: list[str]
    ) -> None:
        """Show the classes of a progress, in the order of their codes in ``order``."""
        codes = [code for code in order if code in progress]
        if codes != self.codes:
            self._make(codes, class_of)
        for code in codes:
            _, _, count, bar = self._lines[code]
            each = progress[code]
            count.setText(f"{each.total:,}".replace(",", "\u202f"))
            bar.setMaximum(max(each.reviewed + each.to_review, 1))
            bar.setValue(each.reviewed)
            bar.setVisible(each.reviewed + each.to_review > 0)
            tip(bar, f"{each.reviewed} settled by a person, {each.to_review} still to review")

    def _make(self, codes: list[str], class_of: Callable[[str], CellClass]) -> None:
        for widgets in self._lines.values():
            for widget in widgets:
                self._grid.removeWidget(widget)
                widget.deleteLater()
        self._lines = {}
        for row, code in enumerate(codes):
            each = class_of(code)
            colour, name, count, bar = QLabel(), QLabel(each.name), QLabel(), QProgressBar()
            colour.setPixmap(swatch(each.colour))
            count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            count.setMinimumWidth(count.fontMetrics().horizontalAdvance("1 000 000"))
            bar.setTextVisible(False)
            bar.setFixedSize(_BAR_PX, 8)
            bar.setAccessibleName(f"Review of {each.name}")
            self._lines[code] = (colour, name, count, bar)
            for column, each_widget in enumerate(self._lines[code]):
                self._grid.addWidget(each_widget, row, column)
