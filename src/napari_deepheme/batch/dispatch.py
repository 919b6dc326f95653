"""Slides handed to the workers of a cluster, one each, huge ones in groups of tiles, until all have ended."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, cast

from napari_deepheme.batch.groups import Group
from napari_deepheme.batch.other_runs import OtherRuns
from napari_deepheme.batch.plan import Plan, bundle_digest
from napari_deepheme.batch.rows import BatchProgress, SlideRow, Status, batch_progress
from napari_deepheme.batch.work import Outcome, Part, Task, classify_task
from napari_deepheme.errors import JobError, OptionError, UnreachableError
from napari_deepheme.export.files import check_folder
from napari_deepheme.jobs import Job
from napari_deepheme.slide.location import SlidePath, shown, slide_path

if TYPE_CHECKING:
    from distributed import Client, Future

RETRIES = 2
"""How often a slide is begun again after a failure that may pass."""
_LOOK_EVERY = 2.0
"""Seconds between two looks at the workers, and at slides that another run has."""

_log = logging.getLogger(__name__)


def classify_on(
    client: Client, slides: Sequence[str], plan: Plan, *, retries: int = RETRIES
) -> Job[list[SlideRow]]:
    """Classify slides on a cluster, one a worker at a time; the tiles of a huge one on many.

    No more of them are with the scheduler than it has workers, so that a million weigh on it no more than a
    hundred, and so that a worker that dies takes one with it. What a worker had that died is begun again on
    another (by dask, whose ``allowed-failures`` says how often), and goes on with what is saved.

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
        self._waiting, self._busy = deque[Part]((index, None) for index in range(len(slides))), list[Part]()
        self._groups: dict[int, dict[int, Group]] = {}  # of slides that were split, those that have not ended
        self._futures: dict[Part, Future[Outcome]] = {}
        self._places: dict[Part, str] = {}
        self._tries: Counter[Part] = Counter()
        self._heard: dict[Part, str] = {}
        self._others = OtherRuns(plan.out)
        self._workers: tuple[str, ...] = ()
        self._begun: dict[int, float] = {}
        self._looked, self._ended = 0.0, 0
        self._events: SimpleQueue[tuple[Part, str, str] | tuple[Part, Future[Outcome]]] = SimpleQueue()
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
            part, *event = self._events.get(timeout=_LOOK_EVERY)
        except Empty:
            return None
        return self._told(part, *event) if len(event) == 2 else self._done(part, *event)

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
        """One slide, or group of tiles, to each worker that has none."""
        taken = set(self._places.values())
        free = [worker for worker in self._workers if worker not in taken]
        for worker in free[: len(self._waiting)]:
            self._submit(self._waiting.popleft(), worker)

    def _submit(self, part: Part, worker: str) -> None:
        index = part[0]
        asked = self._plan, self._digest, self._topic, self._mark.name
        task = Task(index, self._paths[index], *asked, self._group(part))
        future = self._client.submit(
            classify_task,
            task,
            key=f"classify-{self._name}-{index}-{time.monotonic_ns()}",
            workers=[worker],
            allow_other_workers=True,
            pure=False,
        )
        self._futures[part], self._places[part] = future, worker
        future.add_done_callback(lambda done, part=part: self._events.put((part, done)))

    def _hear(self, event: tuple[object, dict[str, object]]) -> None:
        index, number = cast("Part", event[1]["part"])  # a list where it was packed on its way
        self._events.put(((index, number), str(event[1]["message"]), str(event[1]["worker"])))

    def _told(self, part: Part, message: str, worker: str) -> SlideRow | None:
        """A worker says how far it is."""
        if part not in self._futures:
            return None  # late: it has ended
        (index, number), row, now = part, self.rows[part[0]], time.monotonic()
        if self._heard.get(part) != worker:  # begun, or begun again because a worker died
            self._heard[part] = self._places[part] = worker
            self._tries[part] += 1
            if index not in self._groups:
                self._begun[index] = now
            row = replace(row, status=Status.RUNNING, tries=max(row.tries, self._tries[part]))
        message = message if number is None else self._state_of(index)
        seconds = round(now - self._begun[index], 2)
        return self._set(index, replace(row, worker=worker, message=message, seconds=seconds))

    def _state_of(self, index: int) -> str:
        left = list(self._groups[index].values())
        if not left:
            return "Merging its groups of tiles"
        return f"{left[0].total - len(left)} of {left[0].total} groups of tiles are done"

    def _done(self, part: Part, future: Future[Outcome]) -> SlideRow | None:
        """A future has come to its end, good or bad."""
        if self._futures.get(part) is not future:
            return None
        del self._futures[part], self._places[part]
        self._heard.pop(part, None)
        if future.status == "finished":
            return self._came(part, future.result())
        if future.status != "error":
            self._look()  # raises if the connection is lost
            return self._begin_again(part, "its task was cancelled by the scheduler", is_fault=True)
        return self._failed(part, future.exception())

    def _came(self, part: Part, outcome: Outcome) -> SlideRow:
        index, number = part
        seconds = outcome.seconds if index not in self._groups else time.monotonic() - self._begun[index]
        row = replace(self.rows[index], seconds=round(seconds, 2), message=outcome.error)
        if outcome.groups:
            return self._split(part, outcome.groups)
        if outcome.report is not None:
            status = Status.KEPT if outcome.was_done else Status.DONE
            report = outcome.report | {"seconds": row.seconds} if index in self._groups else outcome.report
            return self._end(index, replace(row, status=status, cells=outcome.counted, report=report))
        if outcome.is_busy and self._others.move(self._paths[index], self._group(part)):
            self._busy.append(part)
            return self._set(index, replace(row, status=Status.BUSY, worker="") if number is None else row)
        if outcome.error or number is None:
            return self._end(index, replace(row, status=Status.FAILED))
        del self._groups[index][number]
        if not self._groups[index]:
            self._waiting.appendleft((index, None))
        return self._set(index, replace(row, message=self._state_of(index)))

    def _split(self, part: Part, groups: Sequence[Group]) -> SlideRow:
        """Have the groups of a huge slide done before any other slide is begun."""
        index = part[0]
        if index in self._groups:
            return self._begin_again(part, "the groups of its tiles are not there any more", is_fault=True)
        self._groups[index] = {group.number: group for group in groups}
        self._tries[part] = 0  # its second task is no second try
        self._begun.setdefault(index, time.monotonic())  # its task may have ended before it was heard of
        self._waiting.extendleft((index, group.number) for group in reversed(groups))
        return self._set(index, replace(self.rows[index], message=self._state_of(index)))

    def _group(self, part: Part) -> Group | None:
        return None if part[1] is None else self._groups[part[0]][part[1]]

    def _failed(self, part: Part, err: BaseException | None) -> SlideRow:
        from distributed import KilledWorker  # noqa: PLC0415  only who has a client comes here

        row = self.rows[part[0]]
        if isinstance(err, KilledWorker):
            text = (
                f"{row.slide}: {self._tries[part]} workers died over it (killed, or out of memory); give "
                "workers more memory, or take a closer look at the slide."
            )
            return self._end(part[0], replace(row, status=Status.FAILED, message=text, is_fault=True))
        if isinstance(err, ModuleNotFoundError):
            text = f"The workers lack a module ({err}); install this version of napari-deepheme there."
            return self._end(part[0], replace(row, status=Status.FAILED, message=text))
        if isinstance(err, UnreachableError):
            return self._begin_again(part, str(err), is_fault=False)
        _log.error("%s failed on a worker", row.slide, exc_info=err)
        return self._begin_again(part, f"{type(err).__name__}: {err}", is_fault=True)

    def _begin_again(self, part: Part, why: str, *, is_fault: bool) -> SlideRow:
        """Have a slide or group wait for another try, or say that the slide failed."""
        index, number = part
        row = replace(self.rows[index], message=why, is_fault=is_fault)
        if self._tries[part] > self._retries:
            return self._end(index, replace(row, status=Status.FAILED))
        if number is not None:
            self._waiting.appendleft(part)
            return self._set(index, row)
        self._waiting.append(part)
        return self._set(index, replace(row, status=Status.WAITING, worker=""))

    def _set(self, index: int, row: SlideRow) -> SlideRow:
        self.rows[index] = row
        return row

    def _end(self, index: int, row: SlideRow) -> SlideRow:
        self._ended += 1
        if self._groups.get(index):
            self._give_up_groups(index)
        return self._set(index, row)

    def _give_up_groups(self, index: int) -> None:
        """A slide has failed: its other groups are not wanted any more."""
        self._waiting = deque(part for part in self._waiting if part[0] != index)
        self._busy = [part for part in self._busy if part[0] != index]
        running = [part for part in self._futures if part[0] == index]
        self._client.cancel([self._futures[part] for part in running], force=True)
        for part in running:
            del self._futures[part], self._places[part]


def _absolute(path: SlidePath) -> SlidePath:
    """A path as a process in another folder needs it."""
    return path.absolute() if isinstance(path, Path) else path
