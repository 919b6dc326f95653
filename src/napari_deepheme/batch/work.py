"""What a worker of a cluster does with a slide; the networks are loaded once per process."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.batch.groups import Group, classify_group, groups_to_do
from napari_deepheme.batch.plan import Plan, bundle_digest
from napari_deepheme.batch.slide_run import classify_slide
from napari_deepheme.errors import BusyError, DeepHemeError, OptionError, OutputError, UnreachableError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.location import SlidePath

if TYPE_CHECKING:
    from distributed.worker import Worker

Part = tuple[int, int | None]
"""A slide by its index in the batch, or a group of its tiles by its number, too."""

_EVERY = 1.0
"""Seconds between two reports."""
_MOST_ENGINES = 2

_ENGINES: dict[tuple[str, str, object], Engine] = {}
_ONE_SLIDE = threading.Lock()
"""A worker takes one slide at a time, whatever its number of threads: those serve the networks."""


@dataclass(frozen=True, slots=True)
class Task:
    """A slide to classify, or a group of its tiles.

    Attributes
    ----------
    index : int
        Of the slide in its batch.
    slide : SlidePath
    plan : Plan
    digest : str
        Of the model, as the one who asks has it.
    topic : str
        Where to report.
    mark : str
        Name of a file that lies in the folder of the results.
    group : Group or None
        Of a huge slide.
    """

    index: int
    slide: SlidePath
    plan: Plan
    digest: str
    topic: str
    mark: str
    group: Group | None = None

    @property
    def part(self) -> Part:
        """What of the batch it is."""
        return self.index, None if self.group is None else self.group.number

    def event(self, message: str, worker: Worker) -> dict[str, object]:
        """What its worker reports."""
        return {"part": self.part, "message": message, "worker": worker.address}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a slide, or of a group of its tiles.

    Attributes
    ----------
    report : dict or None
        Its entry of the JSON document; None of a group, and of a slide that could not be done.
    was_done : bool
        Whether an earlier run had finished it.
    counted : int
        Cells that the differential counts.
    error : str
        Why it could not be done.
    is_busy : bool
        Whether that is because another process writes its analysis.
    seconds : float
    groups : tuple of Group
        Those to do before the slide is given again, to merge them; its own task was only to begin it.
    """

    report: dict[str, object] | None = None
    was_done: bool = False
    counted: int = 0
    error: str = ""
    is_busy: bool = False
    seconds: float = 0.0
    groups: tuple[Group, ...] = ()


class CancelledError(Exception):
    """The one who asked is gone, or has cancelled the slide."""


def classify_task(task: Task) -> Outcome:
    """Classify a slide on a worker.

    What is wrong with the slide is an outcome; what another try may mend is raised.

    Raises
    ------
    UnreachableError
        The slide cannot be read at the moment.
    """
    from distributed import get_worker  # noqa: PLC0415  who works without a cluster need not have it

    start = time.perf_counter()
    with _ONE_SLIDE:
        reporter = _Reporter(get_worker(), task)
        try:
            _check_folder(task, reporter.worker)
            outcome = _drained(task, reporter)
        except UnreachableError:
            raise
        except DeepHemeError as err:
            is_busy = isinstance(err, BusyError)
            return Outcome(error=str(err), is_busy=is_busy, seconds=time.perf_counter() - start)
    return replace(outcome, seconds=time.perf_counter() - start)


def engine_of(plan: Plan, digest: str, threads: int) -> Engine:
    """The engine for a plan, made the first time that a process needs it.

    Raises
    ------
    OptionError
        The model of that name is another one on this machine.
    """
    key = plan.model, digest, plan.run
    if key not in _ENGINES:
        import torch

        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)  # dask grants its workers one, whatever they have
        bundle, own = bundle_digest(plan.model)
        if own != digest:
            raise OptionError(
                f"Model {plan.model}: this worker has another one of that name; bring its napari-deepheme or "
                "its bundle up to date."
            )
        while len(_ENGINES) >= _MOST_ENGINES:
            del _ENGINES[next(iter(_ENGINES))]
        _ENGINES[key] = Engine(bundle, plan.run)
    return _ENGINES[key]


def _outcome(engine: Engine, task: Task) -> Job[Outcome]:
    """Do a group, or a slide; of a huge one begin it, or merge its groups if they are done."""
    if task.group is not None:
        yield from classify_group(engine, task.plan, task.slide, task.group)
        return Outcome()
    groups = yield from groups_to_do(engine, task.plan, task.slide)
    if groups:
        return Outcome(groups=tuple(groups))
    finished = yield from classify_slide(engine, task.plan, task.slide)
    return Outcome(finished.report, finished.was_done, finished.count.n_counted)


def _drained(task: Task, reporter: _Reporter) -> Outcome:
    reporter.say("Loading the model")
    engine = engine_of(task.plan, task.digest, reporter.worker.state.nthreads)
    job = _outcome(engine, task)
    try:
        while True:
            reporter.follow(next(job))
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    finally:
        job.close()


def _check_folder(task: Task, worker: Worker) -> None:
    """See that the folder of the results is the one that the asker sees."""
    if not (task.plan.out / task.mark).exists():
        raise OutputError(
            f"The worker {worker.address} sees another folder {task.plan.out}; give --out a folder that all "
            "machines share, at the same path."
        )


class _Reporter:
    """Tells the one who asked how far a slide is, and hears whether it is still wanted."""

    def __init__(self, worker: Worker, task: Task) -> None:
        self.worker, self._task = worker, task
        self._key = worker.get_current_task()
        self._last = 0.0

    def say(self, message: str) -> None:
        """Report at once."""
        self._last = time.monotonic()
        self.worker.log_event(self._task.topic, self._task.event(message, self.worker))

    def follow(self, progress: Progress) -> None:
        """Report now and then.

        Raises
        ------
        CancelledError
            The slide is no longer wanted.
        """
        if time.monotonic() - self._last < _EVERY:
            return
        known = self.worker.state.tasks.get(self._key)
        if known is None or known.state == "cancelled":
            raise CancelledError
        self.say(progress.message or progress.stage)
