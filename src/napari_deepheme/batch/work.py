"""What a worker of a cluster does with a slide; the networks are loaded once per process."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.batch.plan import Plan, bundle_digest
from napari_deepheme.batch.slide_run import Finished, classify_slide
from napari_deepheme.errors import BusyError, DeepHemeError, OptionError, OutputError, UnreachableError
from napari_deepheme.jobs import Progress
from napari_deepheme.slide.location import SlidePath

if TYPE_CHECKING:
    from distributed.worker import Worker

_EVERY = 1.0
"""Seconds between two reports."""
_MOST_ENGINES = 2

_ENGINES: dict[tuple[str, str, object], Engine] = {}
_ONE_SLIDE = threading.Lock()
"""A worker takes one slide at a time, whatever its number of threads: those serve the networks."""


@dataclass(frozen=True, slots=True)
class Task:
    """A slide to classify.

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
    """

    index: int
    slide: SlidePath
    plan: Plan
    digest: str
    topic: str
    mark: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a slide.

    Attributes
    ----------
    report : dict or None
        Its entry of the JSON document; None if it could not be done.
    was_done : bool
        Whether an earlier run had finished it.
    counted : int
        Cells that the differential counts.
    error : str
        Why it could not be done.
    is_busy : bool
        Whether that is because another process writes its analysis.
    seconds : float
    """

    report: dict[str, object] | None = None
    was_done: bool = False
    counted: int = 0
    error: str = ""
    is_busy: bool = False
    seconds: float = 0.0


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
            finished = _drained(task, reporter)
        except UnreachableError:
            raise
        except DeepHemeError as err:
            is_busy = isinstance(err, BusyError)
            return Outcome(error=str(err), is_busy=is_busy, seconds=time.perf_counter() - start)
    counted, seconds = finished.count.n_counted, time.perf_counter() - start
    return Outcome(finished.report, finished.was_done, counted, seconds=seconds)


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


def _drained(task: Task, reporter: _Reporter) -> Finished:
    reporter.say("Loading the model")
    engine = engine_of(task.plan, task.digest, reporter.worker.state.nthreads)
    job = classify_slide(engine, task.plan, task.slide)
    try:
        while True:
            reporter.follow(next(job))
    except StopIteration as stop:
        finished: Finished = stop.value
        return finished
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
        facts = {"index": self._task.index, "message": message, "worker": self.worker.address}
        self.worker.log_event(self._task.topic, facts)

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
