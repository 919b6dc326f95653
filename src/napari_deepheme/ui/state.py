"""What is going on in a viewer: its slide, the analysis in hand, the run, the selection. No Qt.

There is one state per viewer, and it outlives the docks: they are views of it. Whoever changes cells does so
here, and everyone who shows them hears of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from napari.layers import Image
from psygnal import Signal

from napari_deepheme.analysis.learned import Learned
from napari_deepheme.analysis.result import Analysis
from napari_deepheme.cells import RawOutputs
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store.analysis_file import AnalysisFile
from napari_deepheme.taxonomy import Taxonomy
from napari_deepheme.ui.correcting import Correcting
from napari_deepheme.ui.display import Display
from napari_deepheme.ui.learning import Learning, with_thresholds
from napari_deepheme.ui.napari_versions import unwrapped
from napari_deepheme.ui.running import Running
from napari_deepheme.ui.selecting import Filters, Ids
from napari_deepheme.ui.session import Session

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Filters", "Ids", "Running", "ViewerState", "state_of"]


class ViewerState(Correcting, Learning):
    """The state of one viewer; get it by :func:`state_of`.

    Signals
    -------
    slide_changed : None
        Another slide is chosen (:attr:`slide`).
    analysis_changed : None
        Another analysis, or none, is in hand: everything is to be shown anew.
    assessment_changed : None
        The thresholds moved: the table is another, all rows may differ; the analysis is the same.
    cells_changed : ndarray of int64
        Ids of cells whose rows changed, that came or that went.
    audit_drawn : None
        Cells were drawn for an audit (:attr:`audit`).
    selection_changed : None
        Other cells are selected, or another is the current one.
    filters_changed : None
    display_changed : None
        Colours or shapes are to say something else (:attr:`display`).
    run_changed : None
        A run began or ended.
    run_came_on : None
        The run under way has something new to show of itself.
    counted : None
        A run counted cells to its end.
    said : str
        One line on what a person just did, such as “M3 → M4”.
    signed : None
        The review was signed off.
    """

    slide_changed = Signal()
    analysis_changed = Signal()
    assessment_changed = Signal()
    audit_drawn = Signal()
    display_changed = Signal()
    run_changed = Signal()
    run_came_on = Signal()
    counted = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._slide: Image | None = None
        self._sessions: list[Session] = []
        self._session: Session | None = None
        self._run: Running | None = None
        self._display = Display()
        self.watched = 0
        """How many docks show how a run goes; with none, what went wrong is said in a message."""
        self.outcome = ""
        """What the last run came to, for a person."""

    @property
    def viewer(self) -> ViewerModel:
        """The viewer; :class:`ReferenceError` if it is gone."""
        viewer = self._viewer()
        if viewer is None:
            raise ReferenceError("the viewer was closed")
        return viewer

    # the slide

    @property
    def slide(self) -> Image | None:
        """The image layer of the slide in hand."""
        return self._slide

    @slide.setter
    def slide(self, layer: Image | None) -> None:
        layer = unwrapped(layer)
        if layer is not self._slide:
            self._slide = layer
            self.slide_changed.emit()

    @property
    def display(self) -> Display:
        """How cells are drawn on the slide."""
        return self._display

    @display.setter
    def display(self, display: Display) -> None:
        if display != self._display:
            self._display = display
            self.display_changed.emit()

    # the analysis

    @property
    def session(self) -> Session | None:
        """The analysis, or table, in hand."""
        return self._session

    @property
    def sessions(self) -> Sequence[Session]:
        """All that are open, the one opened last at the end."""
        return tuple(self._sessions)

    @property
    def analysis(self) -> Analysis | None:
        """A snapshot of the analysis in hand with all corrections; None without one, or for a table."""
        return self._session.analysis if self._session is not None else None

    @property
    def file(self) -> AnalysisFile | None:
        """The open file of the analysis in hand; None where it is in memory alone."""
        return self._session.file if self._session is not None else None

    @property
    def table(self) -> pd.DataFrame:
        """One row per cell that counts, in the columns of ``cells.csv``, up to date; not to be written to."""
        return self._session.table if self._session is not None else pd.DataFrame()

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The model's classes, then those that only people used; None without an analysis."""
        return self._session.taxonomy if self._session is not None else None

    @property
    def options(self) -> AssessmentOptions:
        """The thresholds in force."""
        return self._session.options if self._session is not None else AssessmentOptions()

    @options.setter
    def options(self, options: AssessmentOptions) -> None:
        if self._session is not None and options != self._session.options:
            self._session.assess_by(options)
            self._keep_present()
            self.assessment_changed.emit()

    def open(self, session: Session) -> None:
        """Take an analysis in hand; it stays open when another is."""
        if session not in self._sessions:
            self._sessions.append(session)
        if session is not self._session:
            self._session = session
            self._select_nothing()
        self.analysis_changed.emit()
        self.selection_changed.emit()

    def forget(self, session: Session) -> None:
        """Close an analysis; nothing is lost of one that has a file."""
        if session in self._sessions:
            self._drop(session)
            self._sessions.remove(session)
            session.close()
        if session is self._session:
            self._session = self._sessions[-1] if self._sessions else None
            self._select_nothing()
            self.analysis_changed.emit()
            self.selection_changed.emit()

    def extend(self, session: Session, parts: Sequence[Analysis]) -> None:
        """Take in the cells of units that a run just finished."""
        ids = session.extend(parts)
        if session is self._session and len(ids):
            self.cells_changed.emit(ids)

    def renew(self, session: Session, analysis: Analysis) -> None:
        """Take an analysis as a run left it."""
        session.renew(analysis)
        self._keep_present()
        if session is self._session:
            self.analysis_changed.emit()

    @property
    def audit(self) -> Sequence[int]:
        """Ids of the cells drawn for an audit of the analysis in hand; none without one."""
        return self._session.audit if self._session is not None else ()

    @property
    def audit_waiting(self) -> Sequence[int]:
        """Those that nobody settled yet."""
        return self._session.audit_waiting if self._session is not None else ()

    def draw_audit(self, cells: int) -> None:
        """Draw cells at random for a person to name; :class:`OptionError` where there are none."""
        self._in_hand().draw_audit(cells)
        self.audit_drawn.emit()

    # what models say

    def classified(self, session: Session, cell: int, raw: RawOutputs) -> None:
        """Take what the model in use says of a cell that a person added."""
        session.classified(cell, raw)
        if session is self._session:
            self.cells_changed.emit(np.array([cell]))

    def _switched(self, session: Session, learned: Learned | int | None) -> None:
        session.use(learned)
        session.assess_by(with_thresholds(session, session.options))
        self._keep_present()
        if session is self._session:
            self.analysis_changed.emit()

    # the run

    @property
    def run(self) -> Running | None:
        """The run under way."""
        return self._run

    def run_is(self, run: Running | None, outcome: str = "", *, counted: bool = False) -> None:
        """Say that a run began, or (None) ended; ``counted``: it counted cells to its end."""
        self._run, self.outcome = run, outcome
        self.run_changed.emit()
        if counted:
            self.counted.emit()

    def close(self) -> None:
        """Stop the run and close the files; what was found and corrected is in them."""
        run, self._run = self._run, None
        if run is not None:
            run.abandon()
        for session in self._sessions:
            self._drop(session)
            session.close()
        self._sessions.clear()
        self._session = None


_states: dict[int, ViewerState] = {}


def state_of(viewer: ViewerModel) -> ViewerState:
    """Give the state of a viewer, made at the first call."""
    viewer = unwrapped(viewer)
    state = _states.get(id(viewer))
    if state is None:
        state = _states[id(viewer)] = ViewerState(viewer)
        weakref.finalize(viewer, _states.pop, id(viewer), None)
    return state
