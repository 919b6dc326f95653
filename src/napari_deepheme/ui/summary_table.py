"""The table of the Summary dock."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QModelIndex, QPoint, QRect, QSignalBlocker, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QCursor, QFont, QFontMetrics, QMouseEvent, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHeaderView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
)

from napari_deepheme.ui.summary_rows import NUMBER_HEADERS, Row

_WIDEST = ("99999", "100.0", "99.9–100.0")
_INTERVAL = 3  # column
_BAR, _SWATCH = QSize(28, 8), QSize(12, 12)
_DONE, _WAITING = QColor("#2ea043"), QColor("#8c8c8c")
_TIPS = (
    "Untick a class to hide its cells on the slide; the count stays as it is. Click its colour to change it; "
    "double-click the line to see its cells in Review.",
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
    asked : str
        A person wants to see the cells of a class: code.
    recoloured : str, str
        A person gave a class, by its code, another colour ``#rrggbb``, or the usual one: nothing.
    """

    ticked = Signal()
    chosen = Signal()
    asked = Signal(str)
    recoloured = Signal(str, str)

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
        self.setWordWrap(False)  # else a name loses a whole word at once
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setIconSize(_BAR)
        self._names = _Names(self)
        self.setItemDelegateForColumn(0, self._names)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._offer)
        self.cellActivated.connect(self._on_activated)
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
            names = [f"{row.name} {row.colour}" for row in rows]
            if names != self._codes:
                self._codes = names
                self._make_lines(rows, hidden)
            self._fit_height()
            self._fit_numbers(rows)
            for i, row in enumerate(rows):
                for column, text in enumerate(row.numbers[: len(_WIDEST)], start=1):
                    item = self.item(i, column)
                    if item is not None and item.text() != text:
                        item.setText(text)
                    if item is not None and column == _INTERVAL:
                        item.setToolTip(row.plan)
                self._show_progress(i, row.numbers[-1])

    def text(self, row: int, column: int) -> str:
        """What a cell of the table says."""
        item = self.item(row, column)
        return item.text() if item is not None else ""

    def swatch_rect(self, row: int) -> QRect:
        """Where the colour of a line lies, in the viewport."""
        item = self.item(row, 0)
        return QRect() if item is None else self._names.swatch_rect(self, self.indexFromItem(item))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Change the colour of a class whose swatch is clicked; else as every table."""
        if event is None:
            return
        place = event.position().toPoint()
        index = self.indexAt(place)
        row = self._rows[index.row()] if index.isValid() and index.column() == 0 else None
        if row is not None and row.code and self.swatch_rect(index.row()).contains(place):
            self._ask_colour(row)
        else:
            super().mousePressEvent(event)

    def _offer(self, place: QPoint) -> None:
        """The same from the keyboard's menu key, and the way back."""
        index = self.indexAt(place)
        row = self._rows[index.row()] if index.isValid() else None
        if row is None or not row.code:
            return
        menu = QMenu(self)
        menu.addAction("&Colour…", lambda: self._ask_colour(row))
        menu.addAction("&Usual colour", lambda: self.recoloured.emit(row.code, ""))
        menu.addAction("Cells in &Review", lambda: self.asked.emit(row.code))
        menu.exec(QCursor.pos())

    def _ask_colour(self, row: Row) -> None:
        colour = QColorDialog.getColor(QColor(row.colour), self, row.name)
        if colour.isValid():
            self.recoloured.emit(row.code, colour.name())

    def _on_activated(self, line: int, _column: int) -> None:
        if self._rows[line].code:
            self.asked.emit(self._rows[line].code)

    def _show_progress(self, line: int, text: str) -> None:
        """The bar of a line's review; its numbers are in the tooltip."""
        item = self.item(line, self.columnCount() - 1)
        if item is None or item.data(_CODE) == text:
            return
        item.setData(_CODE, text)
        done, _, total = text.partition("/")
        item.setData(Qt.ItemDataRole.DecorationRole, _bar(int(done) / int(total)) if total else None)
        item.setToolTip(f"{text} settled" if text else "")
        item.setData(Qt.ItemDataRole.AccessibleTextRole, text)

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

    def _fit_numbers(self, rows: Sequence[Row]) -> None:
        """As wide as the numbers need; columns only grow, so that they do not jump during a run."""
        for column in range(1, 1 + len(_WIDEST)):
            metrics = QFontMetrics(_font(rows[0])) if rows else self.fontMetrics()
            widest = max((metrics.horizontalAdvance(row.numbers[column - 1]) for row in rows), default=0)
            if widest + 10 > self.columnWidth(column):
                self.setColumnWidth(column, widest + 10)

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
        last = self.columnCount() - 1
        header.setSectionResizeMode(last, QHeaderView.ResizeMode.Fixed)
        self.setColumnWidth(last, _BAR.width() + 10)
        for column, text in enumerate(_TIPS):
            item = self.horizontalHeaderItem(column)
            if item is not None:
                item.setToolTip(f"<qt>{text}</qt>")
                side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)

    def _on_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            self.ticked.emit()


class _Names(QStyledItemDelegate):
    """Knows where the swatch of a name is drawn."""

    def swatch_rect(self, table: QTableWidget, index: QModelIndex) -> QRect:
        """The swatch of a line, in the viewport."""
        option, style = QStyleOptionViewItem(), table.style()
        self.initStyleOption(option, index)
        option.rect, option.decorationSize = table.visualRect(index), _SWATCH
        if style is None:
            return QRect()
        return style.subElementRect(QStyle.SubElement.SE_ItemViewItemDecoration, option, table)

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:  # noqa: N802
        """Swatches are smaller than bars."""
        super().initStyleOption(option, index)
        if option is not None:
            option.decorationSize = _SWATCH


def _name_item(row: Row, hidden: frozenset[str]) -> QTableWidgetItem:
    item = QTableWidgetItem(row.name)
    item.setFont(_font(row))
    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    if row.code:
        swatch = QPixmap(_SWATCH)
        swatch.fill(QColor(row.colour))
        item.setData(Qt.ItemDataRole.DecorationRole, swatch)
        item.setData(_CODE, row.code)
        item.setToolTip(f"{row.code}: {row.name}")
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        shown = Qt.CheckState.Unchecked if row.code in hidden else Qt.CheckState.Checked
        item.setCheckState(shown)
    return item


def _bar(share: float) -> QPixmap:
    """How much of a class is settled."""
    picture = QPixmap(_BAR)
    picture.fill(_WAITING)
    with QPainter(picture) as painter:
        painter.fillRect(0, 0, round(share * _BAR.width()), _BAR.height(), _DONE)
    return picture


def _font(row: Row) -> QFont:
    font = QFont()
    font.setBold(not row.code)
    return font
