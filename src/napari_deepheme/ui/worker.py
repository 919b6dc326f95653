"""Runs one job on a thread and tells the main thread how it goes."""

from __future__ import annotations

import atexit
import logging
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from superqt.utils import GeneratorWorker

from napari_deepheme.jobs import Job, Progress, guard
from napari_deepheme.models.memory import give_back_freed_memory

_log = logging.getLogger(__name__)
_LEAVE_WITHIN_MS = 20_000


def _end_all() -> None:
    """End all jobs after their step, with files closed, while Qt's objects live: later, a signal aborts."""
    try:
        GeneratorWorker.await_workers(_LEAVE_WITHIN_MS)
    except RuntimeError:
        _log.warning("A job did not end within %d s; Python is left without it", _LEAVE_WITHIN_MS // 1000)


atexit.register(_end_all)


class _JobWorker(GeneratorWorker):  # type: ignore[type-arg]
    """A generator worker that closes its job on the thread it ran on, however it ends."""

    def __init__(self, job: Job[Any]) -> None:
        super().__init__(guard, job)
        self._job = job

    def work(self) -> Any:  # noqa: ANN401 - superqt's own signature
        try:
            return super().work()
        finally:
            self._job.close()
            give_back_freed_memory()


class JobRun(QObject):
    """One run of one job; its signals reach the main thread, and none comes after :meth:`cancel`.

    Signals
    -------
    progressed : Progress
    succeeded : object
        The job's result.
    failed : Exception
    ended : None
        The thread is over and the job closed; also after :meth:`cancel`.
    """

    progressed = Signal(object)
    succeeded = Signal(object)
    failed = Signal(object)
    ended = Signal()

    def __init__(self, job: Job[Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._live = True
        self._worker = _JobWorker(job)
        self._worker.yielded.connect(self._on_yielded)
        self._worker.returned.connect(self._on_returned)
        self._worker.errored.connect(self._on_errored)
        self._worker.finished.connect(self._on_finished)

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def cancel(self) -> None:
        """Stop at once for the caller; the thread ends after the step it is in and closes the job."""
        self._live = False
        self._worker.quit()

    def _on_finished(self, _: None = None) -> None:
        self.ended.emit()

    # slots of a QObject: Qt calls them on the main thread, whatever thread the worker signals from
    def _on_yielded(self, progress: Progress) -> None:
        if self._live:
            self.progressed.emit(progress)

    def _on_returned(self, result: object) -> None:
        if self._live:
            self._live = False
            self.succeeded.emit(result)

    def _on_errored(self, err: Exception) -> None:
        if self._live:
            self._live = False
            self.failed.emit(err)
