"""One run under way in a viewer: it belongs to the state, not to the dock that began it."""

from __future__ import annotations

import logging
import time
from typing import Any

from napari.utils import progress as activity
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.jobs import Progress
from napari_deepheme.ui.napari_versions import still_activity
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.tasks import Task
from napari_deepheme.ui.worker import JobRun

_log = logging.getLogger(__name__)
_SHOW_EVERY_MS = 250
_STEPS = 100
_STARTING = "Starting…"
_WAITING = "Waiting for the last batch of the cancelled run…"

_ending: set[Runner] = set()
"""Runs that ended for the window, with their threads in the last step; a new one waits for them."""


class Runner(QObject):
    """Runs a task on a thread, shows what comes, and tells the state how it goes.

    Signals
    -------
    failed : Exception
        Of a run that failed; the state says so too.
    """

    failed = Signal(object)

    def __init__(self, state: ViewerState, task: Task[Any]) -> None:
        super().__init__()
        self.state, self.task = state, task
        self.progress, self.line = Progress("Starting"), _STARTING
        self._run: JobRun | None = None
        self._bar: Any = None
        self._is_over = False
        self._next: Runner | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._show)

    def start(self) -> None:
        """Start, once the former run of this viewer has let go of its files."""
        former = next((each for each in _ending if each.state is self.state), None)
        if former is not None:
            former._next = self
            self.line = _WAITING
        self.state.run_is(self)
        if former is None:
            self._begin()

    def cancel(self) -> None:
        """Stop; what was found stays."""
        if self.state.run is self:
            outcome = self.task.cancelled()
            self._end(outcome)

    def abandon(self) -> None:
        """Stop and show nothing: the window is closing."""
        self._stop()

    def _begin(self) -> None:
        if self.state.run is not self:
            return  # cancelled while it waited
        self.line = _STARTING
        self.state.run_came_on.emit()
        self._bar = activity(total=_STEPS, desc="DeepHeme")
        still_activity(self.state.viewer)
        self._run = JobRun(self.task.job(), self)
        self._run.progressed.connect(self._on_progress)
        self._run.succeeded.connect(self._on_done)
        self._run.failed.connect(self._on_failed)
        self._run.ended.connect(self._on_ended)
        self._run.start()

    def _on_progress(self, progress: Progress) -> None:
        self.task.keep(progress)
        self.progress = progress
        if not self._timer.isActive():
            self._timer.start(_SHOW_EVERY_MS)

    def _show(self) -> None:
        if self.state.run is not self:
            return
        before = time.monotonic()
        self.task.show()
        self.line = self.task.line(self.progress)
        if self._bar is not None and self.progress.total:
            done = _STEPS * self.progress.done // self.progress.total
            if done != self._bar.n:
                self._bar.n = done
                self._bar.refresh()
        self.state.run_came_on.emit()
        # many cells take long to draw: the window must have the larger part of the time
        self._timer.setInterval(max(_SHOW_EVERY_MS, int(4000 * (time.monotonic() - before))))

    def _on_done(self, result: object) -> None:
        text = ""
        try:
            text = self.task.finish(result)
        finally:
            self._end(text, counted=self.task.counts)

    def _on_failed(self, err: Exception) -> None:
        self.task.show()
        known = isinstance(err, DeepHemeError)
        if not known:
            _log.error("The run failed", exc_info=err)
        fault = "" if known else " This is a fault of the program; its details are in the log."
        self._end(f"⚠ {err}{fault}")
        if not self.state.watched:
            show_error(f"{err}{fault}")
        self.failed.emit(err)

    def _end(self, outcome: str, *, counted: bool = False) -> None:
        self._stop()
        self.state.run_is(None, outcome, counted=counted)

    def _stop(self) -> None:
        self._timer.stop()
        if self._run is not None:
            if not self._is_over:
                _ending.add(self)
            self._run.cancel()
        if self._bar is not None:
            self._bar.close()  # napari handles events meanwhile: the thread may end in it
            self._bar = None

    def _on_ended(self) -> None:
        self._is_over = True
        _ending.discard(self)
        self.task.ended()
        # no slot of our signal: nothing may hold this run any more, and Qt calls no slots of what is gone
        if self._next is not None:
            self._next._begin()
