"""Slides handed to the workers of a cluster, one each, until all have ended."""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from napari_deepheme.batch.plan import Plan, bundle_digest
from napari_deepheme.batch.rows import BatchProgress, SlideRow, Status, batch_progress
from napari_deepheme.batch.work import Outcome, Task, classify_task
from napari_deepheme.errors import JobError, OptionError, UnreachableError
from napari_deepheme.export.files import check_folder
from napari_deepheme.jobs import Job
from napari_deepheme.slide.location import SlidePath, shown, slide_path
from napari_deepheme.store import numbered_analyses

if TYPE_CHECKING:
    from distributed import Client, Future

RETRIES = 2
"""How often a slide is begun again after a failure that may pass."""
BUSY_SECONDS = 300.0
"""How long a slide that another run has may stand still before it is given up."""
_LOOK_EVERY = 2.0
"""Seconds between two looks at the workers, and at slides that another run has."""

_log = logging.getLogger(__name__)


def classify_on(
    client: Client, slides: Sequence[str], plan: Plan, *, retries: int = RETRIES
) -> Job[list[SlideRow]]:
    """Classify slides on a cluster, one a worker at a time.

    No more slides are with the scheduler than it has workers, so that a million of them weigh on it no more
    than a hundred, and so that a worker that dies takes one slide with it. A slide whose worker died is begun
    again on another (by dask, whose ``allowed-failures`` says how often), and goes on with what is saved.

    Parameters
    ----------
    client : Client
        See :func:`~napari_deepheme.batch.connected`.
    slides : sequence of str
        Paths and URLs that every worker can open.
    plan : Plan
    retries : int
        How often a slide is begun again whose disk or server failed, or that met a fault of ours.

    Yields
    ------
    BatchProgress
        With the row that changed. Closing the job cancels the slides that run; what they saved stays.

    Returns
    -------
    list of SlideRow
        In the order of the slides.

    Raises
    ------
    OptionError
        The plan asks for fresh analyses: those of a slide that is begun again would lie side by side.
    JobError
        The connection to the scheduler was lost.
    """
    if plan.fresh:
        raise OptionError(
            "--fresh does not go with --scheduler; give another --out for analyses of their own."
        )
    check_folder(plan.out)
    plan = replace(plan, out=plan.out.absolute())
    _, digest = bundle_digest(plan.model)
    with closing(_Dispatch(client, slides, plan, digest, retries)) as dispatch:
        while not dispatch.is_over:
            row = dispatch.step()
            if row is not None:
                yield dispatch.progress(row)
        return dispatch.rows


class _Dispatch:
    """A batch under way: rows, the slides that wait, and the futures of those that run."""

    def __init__(self, client: Client, slides: Sequence[str], plan: Plan, digest: str, retries: int) -> None:
        self._client, self._plan, self._digest, self._retries = client, plan, digest, retries
        self.rows = [SlideRow(shown(name)) for name in slides]
        self._paths = [_absolute(slide_path(name)) for name in slides]
        self._name = uuid.uuid4().hex[:12]
        self._topic = f"napari-deepheme-{self._name}"
        self._mark = plan.out / f".deepheme-run-{self._name}"
        self._waiting, self._busy = deque(range(len(slides))), list[int]()
        self._futures: dict[int, Future[Outcome]] = {}
        self._places: dict[int, str] = {}
        self._stood_still: dict[int, tuple[float, float]] = {}
        self._workers: tuple[str, ...] = ()
        self._begun: dict[int, float] = {}
        self._looked, self._ended = 0.0, 0
        self._events: SimpleQueue[tuple[int, str, str] | tuple[int, Future[Outcome]]] = SimpleQueue()
        self._mark.touch()
        client.subscribe_topic(self._topic, self._hear)

    @property
    def is_over(self) -> bool:
        """Whether every slide has ended."""
        return self._ended == len(self.rows)

    def progress(self, row: SlideRow) -> BatchProgress:
        """A row that is as it is now."""
        return batch_progress(row, self._ended, len(self.rows))

    def close(self) -> None:
        """Cancel what runs."""
        with suppress(OSError):
            self._mark.unlink(missing_ok=True)
        with suppress(OSError, ValueError):  # the scheduler may be gone
            self._client.unsubscribe_topic(self._topic)
            self._client.cancel(list(self._futures.values()), force=True)

    def step(self) -> SlideRow | None:
        """Hand out slides, then wait a while for something to happen; the row that changed, if any."""
        if time.monotonic() - self._looked > _LOOK_EVERY:
            self._look()
        self._hand_out()
        try:
            index, *event = self._events.get(timeout=_LOOK_EVERY)
        except Empty:
            return None
        if len(event) == 2:
            return self._told(index, *event)
        return self._done(index, *event)

    def _look(self) -> None:
        """See which workers there are, and let slides be tried again that another run had."""
        if self._client.status != "running":
            raise JobError(
                "The connection to the scheduler was lost; what the workers saved stays: the same command "
                "goes on with it."
            )
        self._workers = tuple(self._client.nthreads())
        self._looked = time.monotonic()
        if not self._waiting:
            self._waiting.extend(self._busy)
            self._busy.clear()

    def _hand_out(self) -> None:
        """One slide to each worker that has none."""
        taken = set(self._places.values())
        for worker in self._workers:
            if worker in taken or not self._waiting:
                continue
            self._submit(self._waiting.popleft(), worker)

    def _submit(self, index: int, worker: str) -> None:
        task = Task(index, self._paths[index], self._plan, self._digest, self._topic, self._mark.name)
        future = self._client.submit(
            classify_task,
            task,
            key=f"classify-{self._name}-{index}-{time.monotonic_ns()}",
            workers=[worker],
            allow_other_workers=True,
            pure=False,
        )
        self._futures[index], self._places[index] = future, worker
        future.add_done_callback(lambda done, index=index: self._events.put((index, done)))

    def _hear(self, event: tuple[object, dict[str, object]]) -> None:
        facts = event[1]
        self._events.put((int(str(facts["index"])), str(facts["message"]), str(facts["worker"])))

    def _told(self, index: int, message: str, worker: str) -> SlideRow | None:
        """A worker says how far it is."""
        if index not in self._futures:
            return None  # late: it has ended
        row, now = self.rows[index], time.monotonic()
        if row.worker != worker:  # begun, or begun again because a worker died
            self._begun[index], self._places[index] = now, worker
            row = replace(row, status=Status.RUNNING, worker=worker, tries=row.tries + 1)
        return self._set(index, replace(row, message=message, seconds=round(now - self._begun[index], 2)))

    def _done(self, index: int, future: Future[Outcome]) -> SlideRow | None:
        """A future has come to its end, good or bad."""
        if self._futures.get(index) is not future:
            return None
        del self._futures[index], self._places[index]
        if future.status == "finished":
            return self._came(index, future.result())
        if future.status != "error":
            self._look()  # raises if the connection is lost
            return self._begin_again(index, "its task was cancelled by the scheduler", is_fault=True)
        return self._failed(index, future.exception())

    def _came(self, index: int, outcome: Outcome) -> SlideRow:
        row = replace(self.rows[index], seconds=round(outcome.seconds, 2), message=outcome.error)
        if outcome.report is not None:
            status = Status.KEPT if outcome.was_done else Status.DONE
            row = replace(row, status=status, cells=outcome.counted, report=outcome.report)
            return self._end(index, row)
        if outcome.is_busy and self._moves(index):
            self._busy.append(index)
            return self._set(index, replace(row, status=Status.BUSY, worker=""))
        return self._end(index, replace(row, status=Status.FAILED))

    def _failed(self, index: int, err: BaseException | None) -> SlideRow:
        from distributed import KilledWorker  # noqa: PLC0415  only who has a client comes here

        if isinstance(err, KilledWorker):
            text = (
                f"{self.rows[index].slide}: {self.rows[index].tries} workers died over it (killed, or out of "
                "memory); give workers more memory, or take a closer look at the slide."
            )
            return self._end(
                index, replace(self.rows[index], status=Status.FAILED, message=text, is_fault=True)
            )
        if isinstance(err, ModuleNotFoundError):
            text = f"The workers lack a module ({err}); install this version of napari-deepheme there."
            return self._end(index, replace(self.rows[index], status=Status.FAILED, message=text))
        if isinstance(err, UnreachableError):
            return self._begin_again(index, str(err), is_fault=False)
        _log.error("%s failed on a worker", self.rows[index].slide, exc_info=err)
        return self._begin_again(index, f"{type(err).__name__}: {err}", is_fault=True)

    def _begin_again(self, index: int, why: str, *, is_fault: bool) -> SlideRow:
        """Have a slide wait for another try, or say that it failed."""
        row = replace(self.rows[index], message=why, is_fault=is_fault)
        if row.tries > self._retries:
            return self._end(index, replace(row, status=Status.FAILED))
        self._waiting.append(index)
        return self._set(index, replace(row, status=Status.WAITING, worker=""))

    def _moves(self, index: int) -> bool:
        """Whether the other run that has a slide is still at work, as far as its files tell."""
        changed, now = 0.0, time.monotonic()
        for file in numbered_analyses(self._paths[index], self._plan.out):
            for each in (file, file.with_name(f"{file.name}-wal")):
                with suppress(OSError):  # its run may just have ended
                    changed = max(changed, each.stat().st_mtime)
        before, since = self._stood_still.get(index, (-1.0, now))
        if changed != before:
            self._stood_still[index] = changed, now
            return True
        return now - since < BUSY_SECONDS

    def _set(self, index: int, row: SlideRow) -> SlideRow:
        self.rows[index] = row
        return row

    def _end(self, index: int, row: SlideRow) -> SlideRow:
        self._ended += 1
        return self._set(index, row)


def _absolute(path: SlidePath) -> SlidePath:
    """A path as a process in another folder needs it."""
    return path.absolute() if isinstance(path, Path) else path
