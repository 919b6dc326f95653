"""The table of the Summary dock."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QFont, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_deepheme.ui.summary_rows import NUMBER_HEADERS, Row

_WIDEST = ("1000000", "100.0", "99.9–100.0", "999/999")
_TIPS = (
    "Untick a class to hide its cells on the slide; the count stays as it is.",
    "Cells with this label: the model's, or yours where you changed it.",
    "Share of the counted cells.",
    "95 % Wilson interval of the share. It holds the sampling error alone: what the model confuses "
    "does not shrink with more cells.",
    "Cells of the class that a person settled, of those settled or to be reviewed.",
)
_CODE = Qt.ItemDataRole.UserRole


class SummaryTable(QTableWidget):
    """One line for each class: tick box, colour, name, numbers.

    Signals
    -------
    ticked : None
        A class was ticked or unticked; :attr:`hidden_codes` tells.
    chosen : None
        Other lines are selected; :attr:`chosen_codes` tells.
    """

    ticked = Signal()
    chosen = Signal()

    def __init__(self) -> None:
        super().__init__(0, 1 + len(NUMBER_HEADERS))
        self.setHorizontalHeaderLabels(["class", *NUMBER_HEADERS])
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setAccessibleName("Differential count")
        self.setShowGrid(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._shape_header()
        self._codes: list[str] = []
        self._rows: list[Row] = []
        self.itemChanged.connect(self._on_changed)
        self.itemSelectionChanged.connect(self.chosen)

    @property
    def hidden_codes(self) -> frozenset[str]:
        """Codes of the unticked classes."""
        items = [item for row in range(self.rowCount()) if (item := self.item(row, 0)) is not None]
        return frozenset(
            str(item.data(_CODE))
            for item in items
            if item.data(_CODE) and item.checkState() == Qt.CheckState.Unchecked
        )

    @property
    def chosen_codes(self) -> tuple[str, ...]:
        """Codes of the classes of the selected lines; a heading stands for its classes."""
        model = self.selectionModel()
        lines = [index.row() for index in model.selectedRows()] if model is not None else []
        return tuple(dict.fromkeys(code for line in lines for code in self._rows[line].codes))

    def show_rows(self, rows: Sequence[Row], hidden: frozenset[str]) -> None:
        """Show the numbers; the lines themselves are only made anew when the classes differ."""
        with QSignalBlocker(self):
            self._rows = list(rows)
            names = [row.name for row in rows]
            if names != self._codes:
                self._codes = names
                self._make_lines(rows, hidden)
            self._fit_height()
            for i, row in enumerate(rows):
                for column, text in enumerate(row.numbers, start=1):
                    item = self.item(i, column)
                    if item is not None and item.text() != text:
                        item.setText(text)

    def text(self, row: int, column: int) -> str:
        """What a cell of the table says."""
        item = self.item(row, column)
        return item.text() if item is not None else ""

    def _make_lines(self, rows: Sequence[Row], hidden: frozenset[str]) -> None:
        self.setRowCount(len(rows))
        for i, row in enumerate(rows):
            self.setItem(i, 0, _name_item(row, hidden))
            for column in range(1, self.columnCount()):
                item = QTableWidgetItem()
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                item.setFont(_font(row))
                self.setItem(i, column, item)

    def _fit_height(self) -> None:
        """As high as its lines: the dock scrolls, not the table in it."""
        header = self.horizontalHeader()
        heights = [self.rowHeight(row) for row in range(self.rowCount())]
        top = header.sizeHint().height() if header is not None else 0
        self.setFixedHeight(sum(heights) + top + 2 * self.frameWidth())

    def _shape_header(self) -> None:
        vertical, header = self.verticalHeader(), self.horizontalHeader()
        if vertical is None or header is None:
            return
        vertical.hide()
        vertical.setDefaultSectionSize(self.fontMetrics().height() + 6)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        for column, widest in enumerate(_WIDEST, start=1):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, self.fontMetrics().horizontalAdvance(widest) + 8)
        for column, text in enumerate(_TIPS):
            item = self.horizontalHeaderItem(column)
            if item is not None:
                item.setToolTip(f"<qt>{text}</qt>")
                side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)

    def _on_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            self.ticked.emit()


def _name_item(row: Row, hidden: frozenset[str]) -> QTableWidgetItem:
    item = QTableWidgetItem(row.name)
    item.setFont(_font(row))
    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    if row.code:
        swatch = QPixmap(12, 12)
        swatch.fill(QColor(row.colour))
        item.setData(Qt.ItemDataRole.DecorationRole, swatch)
        item.setData(_CODE, row.code)
        item.setToolTip(f"{row.code}: {row.name}")
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        shown = Qt.CheckState.Unchecked if row.code in hidden else Qt.CheckState.Checked
        item.setCheckState(shown)
    return item


def _font(row: Row) -> QFont:
    font = QFont()
    font.setBold(not row.code)
    return font
