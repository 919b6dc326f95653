"""The dock “Summary”: the differential of the analysis in hand, as it stands now, and its exports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.taxonomy.own_colours import keep_colour
from napari_deepheme.ui.display_box import DisplayBox
from napari_deepheme.ui.export_menu import ExportMenu
from napari_deepheme.ui.reliability_box import ReliabilityBox
from napari_deepheme.ui.rule_menu import RuleMenu
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.summary_rows import index_lines, summary_rows
from napari_deepheme.ui.summary_table import SummaryTable
from napari_deepheme.ui.threshold_boxes import ThresholdBoxes
from napari_deepheme.ui.views import view_of
from napari_deepheme.ui.widgets import RESEARCH_USE, button, label, scrolled, tip

if TYPE_CHECKING:
    import napari.viewer

_CAVEAT = f"Intervals hold the sampling error only, not the model's confusions. {RESEARCH_USE}"
_NOTHING = "Run “Classify cells”, or open an analysis (*.deepheme.db) or a cells.csv."
_UNDER_WAY = "A run is under way."
_REVIEW_TIP = "Select the cells that wait for a person; they are squares on the slide."


class SummaryDock(QWidget):
    """Counts the classes of the analysis in hand; a view of the viewer's state.

    Parameters
    ----------
    viewer : ViewerModel
        The napari viewer it works in.

    Signals
    -------
    audit_asked : None
        A person wants to name the cells of an audit.
    cells_asked : None
        A person wants to see the selected cells in Review.
    class_asked : str
        A person wants to see the cells of a class in Review.
    """

    audit_asked = Signal()
    cells_asked = Signal()
    class_asked = Signal(str)

    def __init__(self, viewer: napari.viewer.ViewerModel) -> None:
        super().__init__()
        self._view = view_of(viewer)
        self.state = self._view.state
        self.header = tip(
            label(),
            "Slide, model, and what of the slide the calls were matched to (“Advanced” in Classify cells).",
        )
        self.counts = tip(label(), "Cells that the rule counts, of all that are at or above the threshold.")
        self.rule_menu = RuleMenu(self.state)
        self.review_button = button("", _REVIEW_TIP, self._select_for_review)
        self.notices = tip(label(), "What a person should know before believing the numbers.")
        self.table = SummaryTable()
        self.table.ticked.connect(self._hide_unticked)
        self.table.chosen.connect(self._select_chosen)
        self.table.asked.connect(self.class_asked)
        self.table.recoloured.connect(self._recolour)
        self.indices = tip(label(), "Ratios of the counted classes with their 95 % sampling intervals.")
        self.reliability = ReliabilityBox(self.state, self.audit_asked.emit)
        self.thresholds = ThresholdBoxes(self.state)
        self.thresholds.cells_asked.connect(self.cells_asked)
        self.display_box = DisplayBox(self.state)
        self.export_menu = ExportMenu(self.state, self._view.take_edits)
        self._lay_out()
        self.reliability.changed.connect(self._area.lay_out_now)
        # several edits in a row are counted once
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._refresh_seen)
        self._release = self._to_release()
        self.destroyed.connect(self._release.close)
        self.refresh()

    def refresh(self) -> None:
        """Show the numbers as they are now."""
        self._timer.stop()
        self._is_stale = False
        session = self.state.session
        nothing = session is None
        for each in (self.table, self.review_button, self.indices, self.notices, self.display_box):
            each.setVisible(not nothing)
        for box in (self.export_menu, self.rule_menu, self.display_box):
            box.refresh()
        self.thresholds.refresh()
        if session is None:
            self.header.setText("No classified cells yet.")
            self.counts.setText(_NOTHING if self.state.run is None else _UNDER_WAY)
            self.table.show_rows([], frozenset())
        else:
            self._show(session)
        self._area.lay_out_now()  # Qt loses the request for it where the dock is just coming up

    def release(self) -> None:
        """Let go of the viewer; once is enough."""
        self.reliability.release()
        self.export_menu.release()
        self._release.close()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Come up with the numbers of now, not with those of before for a moment."""
        super().showEvent(event)
        if self._is_stale:
            self.refresh()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Let go of the viewer when napari takes the dock out of its window."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()

    def _show(self, session: Session) -> None:
        differential = session.differential
        self.header.setText("\n".join(_header(session)))
        found, waiting = len(session.table), int(session.to_review().sum())
        running = " so far" if self.state.run is not None else ""
        self.counts.setText(f"{differential.n_counted} counted of {found} found{running}")
        self.review_button.setText(f"{waiting} to &review" if waiting else "Nothing to review")
        self.review_button.setEnabled(bool(waiting))
        analysis = session.analysis
        notices = [f"⚠ {each.text}" for each in analysis.notices] if analysis is not None else []
        self.notices.setText("\n".join(notices))
        self.notices.setVisible(bool(notices))
        rows = summary_rows(differential, session.progress())
        self.table.show_rows(rows, self.state.filters.hidden)
        self.indices.setText("\n".join(index_lines(differential)))

    def _later(self, *_: object) -> None:
        self._is_stale = True
        if self.isVisible():  # a dock that nobody sees counts when it is shown
            self._timer.start()

    def _refresh_seen(self) -> None:
        if self.isVisible():
            self.refresh()

    def _hide_unticked(self) -> None:
        self.state.hide(self.table.hidden_codes)

    def _select_chosen(self) -> None:
        session = self.state.session
        if session is not None:
            self.state.select(session.ids_of(self.table.chosen_codes))

    def _recolour(self, code: str, colour: str) -> None:
        try:
            keep_colour(code, colour or None)
        except DeepHemeError as err:
            show_error(str(err))
        self.state.analysis_changed.emit()

    def _select_for_review(self) -> None:
        session = self.state.session
        if session is not None:
            waiting = session.table[session.to_review()]
            first = int(waiting["cell_id"].iloc[waiting["entropy"].argmax()]) if len(waiting) else None
            self.state.select(waiting["cell_id"].to_numpy(np.int64), first)

    def _on_focus(self, *_: object) -> None:
        self._view.take_edits()

    def _to_release(self) -> ExitStack:
        """Follow the state, and know how to stop that."""
        stack, state = ExitStack(), self.state
        signals = (
            state.analysis_changed,
            state.assessment_changed,
            state.cells_changed,
            state.filters_changed,
            state.display_changed,
            state.run_changed,
            state.signed,
        )
        for signal in signals:
            signal.connect(self._later)
            stack.callback(signal.disconnect, self._later)
        # napari's features table tells nobody of an edit, but gives the focus back after it
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._on_focus)
            stack.callback(_disconnect, application, self._on_focus)
        return stack

    def _lay_out(self) -> None:
        self._area, layout = scrolled(self, 425)
        above = (self.header, self.rule_menu, self.counts, self.review_button, self.notices)
        below = (self.indices, self.reliability, self.thresholds, self.display_box, self.export_menu)
        for widget in (*above, self.table, *below, label(_CAVEAT)):
            layout.addWidget(widget)
        layout.addStretch(1)


def _disconnect(application: QApplication, slot: Callable[..., None]) -> None:
    # Qt did it itself where the dock is gone already
    with suppress(TypeError, RuntimeError):
        application.focusChanged.disconnect(slot)


def _header(session: Session) -> list[str]:
    origin = session.origin
    model = origin.bundle or "model not recorded"
    lines = [f"{session.slide.stem} · {model}"]
    if origin.matched is not None:
        lines.append(f"matched to the slide: {', '.join(origin.matched) or 'nothing'}")
    if session.file is not None:
        lines.append(f"kept in {session.file.path.name}")
    lines += session.remarks
    return lines
