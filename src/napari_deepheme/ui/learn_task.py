"""Learning from the corrections of an analysis as a task of the window. No Qt."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_deepheme.adapt.learning import changes, learn
from napari_deepheme.analysis.options import RunOptions
from napari_deepheme.errors import AnalysisFileError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide import open_slide
from napari_deepheme.ui.learning import Proposal, free_name

if TYPE_CHECKING:
    from napari_deepheme.ui.session import Session
    from napari_deepheme.ui.state import ViewerState


class LearnTask:
    """Learns from the corrections of an analysis, and puts to a person what that would change.

    The labels of the other analyses that a person chose for it are learned from as well.

    Parameters
    ----------
    state : ViewerState
    session : Session
        With a file.
    run : RunOptions, optional
    """

    counts = False

    def __init__(self, state: ViewerState, session: Session, run: RunOptions | None = None) -> None:
        self._state, self._session, self._run = state, session, run or RunOptions()
        self._others = [each.source for each in state.other_labels.chosen(state.sessions, session)]

    def job(self) -> Job[Proposal]:
        """The learning, into a folder for the time being."""
        session, file = self._session, self._session.file
        if file is None:
            raise AnalysisFileError(
                f"{session.name} has no file that can be written; open its analysis file."
            )
        own = file.so_far()
        own = replace(own, facts=replace(own.facts, slide=replace(own.facts.slide, path=session.slide)))
        yield Progress("Loading the model")
        parent = self._state.networks.bundle_of(own.facts.bundle, file.source)
        folder = Path(tempfile.mkdtemp(prefix="deepheme-learned-"))
        try:
            mpp = own.facts.slide.mpp
            with open_slide(session.slide, mpp=mpp[0] if mpp is not None else None) as slide:
                out = folder / free_name(file.path)
                lesson = yield from learn(own, slide, parent, self._run, out, self._others)
            shown, would = session.analysis, None
            if lesson.learned is not None and shown is not None:
                would = changes(shown, lesson.learned, own.facts.bundle, session.options)
            return Proposal(session, lesson, would, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def keep(self, progress: Progress) -> None:
        """Nothing comes before the end."""

    def show(self) -> None:
        """Nothing comes before the end."""

    def line(self, progress: Progress) -> str:
        """How far it is."""
        if not progress.total:
            return f"{progress.stage}…"
        return f"{progress.stage} · {progress.done}/{progress.total}"

    def finish(self, proposal: Proposal) -> str:
        """Put it to the person."""
        self._state.propose(proposal)
        return "Learned from corrections: see Review."

    def cancelled(self) -> str:
        """Nothing is left."""
        return "Cancelled: nothing was learned."

    def ended(self) -> None:
        """Nothing is left to do."""
