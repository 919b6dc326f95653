"""Cells that a person adds are classified at once, in the background, by the model in use."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

import numpy as np
from napari.utils.notifications import show_warning
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_deepheme.analysis.result import Analysis
from napari_deepheme.cells import RawOutputs
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide import open_slide
from napari_deepheme.slide.tiles import crops
from napari_deepheme.ui.networks import Networks
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.worker import JobRun


@dataclass(frozen=True, slots=True, eq=False)
class Asked(Progress):
    """What the members say of one cell."""

    cell: int = 0
    raw: RawOutputs = field(default_factory=lambda: RawOutputs.empty(1, 1))


class AddedCells(QObject):
    """Asks the model in use about the cells that a person added; get it by :func:`added_cells_of`.

    It waits for :meth:`go_live`, so that no network is loaded before a dock is on a screen.

    Parameters
    ----------
    state : ViewerState
    """

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = weakref.ref(state)
        self._live = False
        self._run: JobRun | None = None
        self._session: Session | None = None
        self._model = ""
        self._refused: set[int] = set()
        state.cells_changed.connect(self._ask)
        state.analysis_changed.connect(self._on_analysis)

    @property
    def is_busy(self) -> bool:
        """Whether the model is being asked."""
        return self._run is not None

    def go_live(self) -> None:
        """Begin, also with the cells that wait already."""
        if not self._live:
            self._live = True
            self._ask()

    def _on_analysis(self) -> None:
        self._refused.clear()
        self._ask()

    def _ask(self, *_: object) -> None:
        state = self._state()
        session = state.session if state is not None else None
        if not self._live or self._run is not None or state is None or session is None:
            return
        waiting = [cell for cell in session.unasked().tolist() if cell not in self._refused]
        analysis = session.analysis
        if not waiting or analysis is None:
            return
        self._session, self._model = session, analysis.model
        self._refused |= {*waiting}
        places = [session.file.source] if session.file is not None else []
        places += [str(session.learned.folder)] if session.learned is not None else []
        self._run = JobRun(asked(state.networks, analysis, np.array(waiting), places), self)
        self._run.progressed.connect(self._take)
        self._run.failed.connect(self._say)
        self._run.ended.connect(self._on_ended)
        self._run.start()

    def _take(self, progress: Progress) -> None:
        state, session = self._state(), self._session
        if not isinstance(progress, Asked) or state is None or session is None:
            return
        # the analysis may be closed by now, or another model in use: that one is asked next
        if session in state.sessions and session.origin.bundle == self._model:
            state.classified(session, progress.cell, progress.raw)

    def _say(self, err: Exception) -> None:
        show_warning(f"The added cells have no call of the model: {err}")

    def _on_ended(self) -> None:
        self._run = None
        self._ask()


def asked(networks: Networks, analysis: Analysis, ids: NDArray[np.int64], places: list[str]) -> Job[None]:
    """Ask the model of an analysis about some of its cells.

    Parameters
    ----------
    networks : Networks
        Those of the window.
    analysis : Analysis
    ids : ndarray of int64
    places : list of str
        Where the model's bundle may lie.

    Yields
    ------
    Asked
        One for each cell.
    """
    facts = analysis.facts
    spec, mpp = facts.bundle, facts.slide.mpp
    yield Progress("Loading the model")
    engine = networks.engine(networks.bundle_of(spec, *places), networks.run)
    with open_slide(facts.slide.path, mpp=mpp[0] if mpp is not None else None) as slide:
        for cell in ids.tolist():
            yx = analysis.cells.yx[analysis.ids == cell]
            raw = engine.ensemble.run(crops(slide, yx, spec.input_px, spec.mpp), facts.calibration.stain)
            yield Asked("Asking the model", cell=cell, raw=raw)


_asking: dict[int, AddedCells] = {}


def added_cells_of(state: ViewerState) -> AddedCells:
    """Give what classifies the added cells of a viewer, made at the first call."""
    asking = _asking.get(id(state))
    if asking is None:
        asking = _asking[id(state)] = AddedCells(state)
        weakref.finalize(state, _asking.pop, id(state), None)
    return asking
