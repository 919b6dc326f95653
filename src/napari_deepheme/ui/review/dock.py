"""The dock “Review”: cells in a gallery, the doubtful ones first, a key for each class, undo always."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QHideEvent, QKeyEvent, QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.slide import open_slide
from napari_deepheme.ui.added_cells import added_cells_of
from napari_deepheme.ui.review.adding import AddByClick, Position
from napari_deepheme.ui.review.crops import CropReader
from napari_deepheme.ui.review.details import cell_lines, votes_of
from napari_deepheme.ui.review.key_choice import KeyChoice
from napari_deepheme.ui.review.keys import ClassKeys
from napari_deepheme.ui.review.learn_box import LearnBox
from napari_deepheme.ui.review.marker import Marker
from napari_deepheme.ui.review.order import CellFilter, Show, progress
from napari_deepheme.ui.review.panel import ReviewPanel
from napari_deepheme.ui.review.reviewer import Reviewer
from napari_deepheme.ui.review.shortcuts import Action, meaning
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of

if TYPE_CHECKING:
    import napari.viewer

_TABLE_MPP = 0.25  # a table does not say for which scale its model was made
_CATCH_UP_MS = 200
_NOTHING = "No classified cells yet. Run “Classify cells”, or open an analysis or a cells.csv."
_NONE_TO_REVIEW = "Nothing to review. Choose “all” under Show to see every cell."
_TO_REVIEW = (Show.TO_REVIEW, Show.WAITING)
_NONE_SUCH = "No such cells. Choose others above."


class ReviewDock(QWidget):
    """Looks through the cells of the analysis in hand.

    Parameters
    ----------
    viewer : ViewerModel
        The napari viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel) -> None:
        super().__init__()
        self.state = state_of(viewer)
        self.reviewer = Reviewer(self.state)
        self._session: Session | None = None
        self._acting, self._telling, self._hint = False, False, "Ctrl-Z"
        self._touched: tuple[int, ...] = ()
        self._led_to: int | None = None
        self._live = True
        self._marker = Marker(self.state.viewer)
        self._adding = AddByClick(viewer, lambda: self.state.slide, self._add)
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.setInterval(_CATCH_UP_MS)
        self._late.timeout.connect(self._catch_up)
        self.choice = KeyChoice()
        self.panel = ReviewPanel(self.reviewer, self.choice.class_of, LearnBox(self.state), parent=self)
        self._connect_panel()
        self._connections = (
            (self.state.analysis_changed, self._on_analysis),
            (self.state.assessment_changed, self._look),
            (self.state.audit_drawn, self._look),
            (self.state.cells_changed, self._on_cells),
            (self.state.selection_changed, self._on_selection),
            (self.state.said, self._on_said),
        )
        for signal, slot in self._connections:
            signal.connect(slot)
        self._on_analysis()

    @property
    def keys(self) -> ClassKeys:
        """The keys in force."""
        return self.choice.keys

    def show_cells(self, wanted: CellFilter) -> None:
        """Show certain cells, such as those of a class, and take the keys."""
        self.panel.filters.choose(wanted)
        self.panel.gallery.setFocus()

    def release(self) -> None:
        """Let go of viewer, state and file; once is enough."""
        self._live = False
        self._late.stop()
        self._adding.switch(False)
        for signal, slot in self._connections:
            signal.disconnect(slot, missing_ok=True)
        self.panel.gallery.set_reader(None)
        self.panel.learn_box.release()

    def event(self, event: QEvent | None) -> bool:
        """Keep napari's own shortcuts away from the keys that mean something here."""
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.ShortcutOverride
            and meaning(event, self.keys) is not None
        ):
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Do what a key means."""
        what = meaning(event, self.keys) if event is not None else None
        if event is None or what is None:
            super().keyPressEvent(event)
        elif isinstance(what, str):
            self.label(what)
        elif what is not Action.CONTEXT or not event.isAutoRepeat():
            self.act(what)

    def keyReleaseEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Hide the surroundings when space is let go."""
        if event is not None and event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self.panel.gallery.hide_context()
        else:
            super().keyReleaseEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Go to the cell one is at; from now on added cells are classified."""
        super().showEvent(event)
        if self._live:
            added_cells_of(self.state).go_live()
            self._show_place()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Leave the slide as it is without the review."""
        super().hideEvent(event)
        if self._live and not self.isVisibleTo(
            self.window()
        ):  # not when the whole window is minimised or closed
            self._show_place(lead=False)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Let go of the viewer when napari takes the dock out of its window."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()

    def label(self, code: str) -> None:
        """Give the selected cells a class and go on."""
        self._do(lambda: self.reviewer.label(code))

    def act(self, action: Action) -> None:
        """Do what a key does that gives no class."""
        if self._session is None:
            return
        if action is Action.CONTEXT:
            self.panel.gallery.show_context()
        elif action is Action.ACCEPT:
            self._do(self.reviewer.accept)
        elif action is Action.NO_CELL:
            self._do(self.reviewer.no_cell)
        elif action is Action.NEXT:
            if not self.reviewer.next_to_review():
                self.panel.message.setText("Nothing is left to review among the cells shown.")
            self._show_place()
        else:
            self._go_back(action)

    def _go_back(self, action: Action) -> None:
        undo = action is Action.UNDO
        self._hint = "Ctrl-Shift-Z" if undo else "Ctrl-Z"
        self._touched = ()
        self._do(self.reviewer.undo if undo else self.reviewer.redo)
        self._hint = "Ctrl-Z"
        if not self._touched:
            self.panel.message.setText("Nothing to undo." if undo else "Nothing to do again.")
            return
        self.reviewer.go_to(self._touched[0])
        self._show_place()

    def _do(self, verb: Callable[[], object]) -> None:
        """Correct cells and show what became of it; what cannot be written is said."""
        if self._session is None:
            return
        self._acting = True
        try:
            verb()
        except DeepHemeError as err:
            show_error(str(err))
        finally:
            self._acting = False
            self._show_cells()

    def _add(self, yx: Position) -> None:
        self._do(lambda: self.reviewer.add(yx))
        self.panel.gallery.setFocus()

    def _drop(self, cells: tuple[int, ...], code: str) -> None:
        self._do(lambda: self.reviewer.move_to_class(cells, code))

    def _on_analysis(self) -> None:
        session = self.state.session
        if session is not self._session:
            self._session = session
            self.panel.gallery.set_reader(self._reader(session) if session is not None else None)
            self.choice.follow(self.state.taxonomy)
        self._look()

    def _on_cells(self, ids: Iterable[int]) -> None:
        if self._acting:
            self._touched = tuple(int(each) for each in ids)
        else:
            self._late.start()

    def _catch_up(self) -> None:
        self.reviewer.refresh()
        self._show_cells()

    def _on_selection(self) -> None:
        if not self._acting and not self._telling:
            self.reviewer.take_selection(self.state.selection, self.state.current)
            self._show_place(tell=False)

    def _on_said(self, line: str) -> None:
        self.panel.message.setText(f"{line} · {self._hint}")

    def _look(self) -> None:
        """Make the list anew, by filter and order."""
        wanted, order = self.panel.filters.wanted, self.panel.filters.order
        self.reviewer.look_at(wanted, order, grouped=self.panel.filters.grouped)
        self._show_cells()

    def _show_cells(self) -> None:
        """Show the list and all that depends on the cells."""
        reviewer, table = self.reviewer, self.state.table
        there = self._session is not None
        self.panel.enable(there)
        to_review = reviewer.wanted == CellFilter(reviewer.wanted.show) and reviewer.wanted.show in _TO_REVIEW
        self.panel.gallery.empty = (_NONE_TO_REVIEW if to_review else _NONE_SUCH) if there else _NOTHING
        self.panel.gallery.refresh()
        counts = progress(table) if there else {}
        order = list(dict.fromkeys((*self.choice.classes, *counts)))
        self.panel.legend.show_progress(counts, self.choice.class_of, order)
        self.panel.filters.offer(
            [(f"{code} · {self.choice.class_of(code).name}", code) for code in order if code in counts],
            sorted({*table["region"].unique()} - {""}) if there else [],
        )
        changed = f"changed {reviewer.n_settled} of {len(reviewer)} · {reviewer.n_waiting} to review"
        self.panel.count.setText(changed if there else "")
        # a person who looks elsewhere while cells come in is not taken back
        self._show_place(lead=self.reviewer.current_id != self._led_to)

    def _show_place(self, *, tell: bool = True, lead: bool = True) -> None:
        """Show where one is, in the gallery, in words and, while the dock is looked at, on the slide."""
        self.panel.gallery.show_current()
        row, cell = self.reviewer.row(), self.reviewer.current_id
        votes = votes_of(self.state.analysis, cell) if cell is not None else ""
        what, why = cell_lines(row, votes)
        self.panel.what.setText(what)
        self.panel.why.setText(why)
        mpp = self._session.origin.mpp if self._session is not None else None
        seen = row is not None and self.isVisibleTo(self.window())
        yx = (float(row["y_px"]), float(row["x_px"])) if row is not None and seen else None
        self._marker.show(yx, self.state.slide, mpp[1] if mpp else None, lead=lead and tell)
        self._led_to = cell if seen else None
        if tell:
            self._telling = True
            self.state.select(self.reviewer.selected, cell)
            self._telling = False

    def _reader(self, session: Session) -> CropReader:
        analysis, own, path = session.analysis, session.origin.mpp, session.slide
        wanted = analysis.facts.bundle.mpp if analysis is not None else _TABLE_MPP
        downsample = (wanted / own[0], wanted / own[1]) if own is not None else (1.0, 1.0)
        return CropReader(lambda: open_slide(path), downsample, self.panel.gallery.announce)

    def _connect_panel(self) -> None:
        panel = self.panel
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(panel)
        self.setMinimumWidth(360)
        self.setFocusProxy(panel.gallery)
        panel.filters.changed.connect(self._look)
        panel.gallery.chosen.connect(lambda _cell: self._show_place())
        panel.gallery.dropped.connect(self._drop)
        panel.key_panel.pressed.connect(self.label)
        self.choice.changed.connect(lambda: panel.show_keys([*self.choice.classes.values()], self.keys))
        panel.keys_button.clicked.connect(lambda: self.choice.edit(self))
        panel.add_button.toggled.connect(self._adding.switch)
