"""What the dock can run: the classification of a slide, the judging of its fields. No Qt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from napari.layers import Image, Shapes

from napari_deepheme.analysis.result import Analysis, CellsReady
from napari_deepheme.fields import Field, ranked, seen
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.store import AnalysisFile
from napari_deepheme.ui.cells_view import CellsView
from napari_deepheme.ui.fields_layer import show_fields
from napari_deepheme.ui.napari_versions import soon
from napari_deepheme.ui.run import (
    Opened,
    Request,
    SlideFile,
    classify_job,
    fields_job,
    outcome_text,
    progress_text,
)
from napari_deepheme.ui.session import Session

if TYPE_CHECKING:
    from napari.components import ViewerModel

R = TypeVar("R")


class Task(Protocol[R]):
    """A job with what the window makes of it; all but the job is for the main thread."""

    @property
    def counts(self) -> bool:
        """Whether it counts cells."""
        ...

    def job(self) -> Job[R]:
        """The work."""
        ...

    def keep(self, progress: Progress) -> None:
        """Take note of each progress."""
        ...

    def show(self) -> None:
        """Bring the viewer up to date."""
        ...

    def line(self, progress: Progress) -> str:
        """How far it is, in a line."""
        ...

    def finish(self, result: R) -> str:
        """Show the result and say what it is."""
        ...

    def cancelled(self) -> str:
        """Say what is left of a cancelled run."""
        ...

    def ended(self) -> None:
        """The thread is over, however it ended."""
        ...


class ClassifyTask:
    """Classifies cells and shows them as they come, at the end with the fields they were counted in.

    Parameters
    ----------
    view : CellsView
        Of the viewer's cells.
    image : Image
        The slide's layer.
    request : Request
    remark : str
        Something to add to the outcome, or nothing.
    """

    counts = True

    def __init__(self, view: CellsView, image: Image, request: Request, remark: str = "") -> None:
        self._view, self._state = view, view.state
        self._image, self._request, self._remarks = image, request, [remark]
        self._waiting: list[Analysis] = []
        self._file: AnalysisFile | None = None
        self._session: Session | None = None
        self._first_at, self._n_cells = 0.0, 0

    def job(self) -> Job[Analysis]:
        """The classification."""
        files = [each.file for each in self._state.sessions if each.file is not None]
        return classify_job(self._request, files, self._state.networks)

    def keep(self, progress: Progress) -> None:
        """Keep the cells that came with it."""
        if isinstance(progress, Opened):
            self._file = progress.file
            self._remarks.append(progress.remark)
            self._session = self._open_already(progress.file)
            if progress.analysis is not None:
                self._waiting.append(progress.analysis)
        if isinstance(progress, CellsReady):
            self._first_at = self._first_at or time.monotonic()
            if progress.found is not None:
                self._waiting.append(progress.found)

    def show(self) -> None:
        """Show the cells found so far."""
        waiting, self._waiting = self._waiting, []
        self._n_cells += sum(len(part.counting().ids) for part in waiting)
        if waiting and self._session is None:
            self._begin(waiting.pop(0))
        if waiting and self._session is not None:
            self._leave_learned(self._session)
            self._state.extend(self._session, waiting)

    def line(self, progress: Progress) -> str:
        """How far, how fast, how long still."""
        seconds = time.monotonic() - self._first_at if self._first_at else 0.0
        counting = self._request.options.target_cells > 0
        return progress_text(progress, self._n_cells, seconds, counting=counting)

    def finish(self, analysis: Analysis) -> str:
        """Show the rest of the cells and, where fields were chosen, those taken and left."""
        self.show()
        if self._session is None:
            self._begin(analysis)
        if self._session is not None:
            self._state.renew(self._session, analysis)
        lines = [outcome_text(analysis, self._request.options.target_cells)]
        if analysis.facts.fields:
            self._show_fields(analysis)
            sentence = seen(analysis.facts.fields)
            lines += [sentence] if sentence not in lines[0] else []  # a warning may have said it
        return "\n".join(filter(None, [*lines, *self._remarks])).strip()

    def _show_fields(self, analysis: Analysis) -> None:
        """Show them once the cells are shown: both at once, and the window stands still."""
        viewer, image = self._state.viewer, self._image
        taken = {region.name for region in analysis.regions}

        def show() -> None:
            if image in viewer.layers:
                show_fields(viewer, image, analysis.facts.fields, taken)

        soon(viewer, show)

    def cancelled(self) -> str:
        """The cells found so far stay."""
        self.show()
        return f"Cancelled: {self._n_cells} cells found until then."

    def ended(self) -> None:
        """The thread is over: take what it still wrote after it was cancelled."""
        if self._file is None:
            return
        if self._session is None:
            self._file.close()
        elif self._session.file is self._file and not self._file.finished:
            self._state.renew(self._session, self._file.analysis())

    def _open_already(self, file: AnalysisFile | None) -> Session | None:
        return next((each for each in self._state.sessions if file is not None and each.file is file), None)

    def _leave_learned(self, session: Session) -> None:
        """Call cells by the run's own model again: a learned one has not seen those that come in."""
        learned = session.learned
        if learned is not None and session.file is not None:
            self._state.renew(session, session.file.so_far())
            self._remarks.append(
                f"{learned.parent} calls the cells again, for the learned model has not seen the new ones; "
                "learn from the corrections again."
            )

    def _begin(self, part: Analysis) -> None:
        """Open the analysis, in the place of the slide's former one if nobody corrected or renamed that."""
        session = Session.of_analysis(part, f"{self._image.name} cells", self._file)
        former = self._view.replaceable(session)
        if former is not None:
            self._view.pass_on(former, session)
        self._session = session
        self._state.open(session)


class FieldsTask:
    """Judges the fields of a slide and shows which can be counted.

    Parameters
    ----------
    viewer : ViewerModel
    image : Image
        The slide's layer.
    file : SlideFile
    on_shown : callable
        Told of the overlay.
    """

    counts = False

    def __init__(
        self, viewer: ViewerModel, image: Image, file: SlideFile, on_shown: Callable[[Shapes], None]
    ) -> None:
        self._viewer, self._image, self._file, self._on_shown = viewer, image, file, on_shown

    def job(self) -> Job[tuple[Field, ...]]:
        """The judging."""
        return fields_job(self._file)

    def keep(self, progress: Progress) -> None:
        """Nothing comes before the end."""

    def show(self) -> None:
        """Nothing comes before the end."""

    def line(self, progress: Progress) -> str:
        """How far it is."""
        if not progress.total:
            return f"{progress.stage}…"
        return f"{progress.stage} · {progress.done}/{progress.total}"

    def finish(self, fields: tuple[Field, ...]) -> str:
        """Show the fields, all the countable ones as used, ready to be edited."""
        good = {field.region.name for field in ranked(fields)}
        if fields:
            layer = show_fields(self._viewer, self._image, fields, good)
            self._viewer.layers.selection.active = layer
            self._on_shown(layer)
        return seen(fields)

    def cancelled(self) -> str:
        """Nothing is left."""
        return "Cancelled: no field judged."

    def ended(self) -> None:
        """Nothing is left to do."""
