"""Where each slide of a batch stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from napari_deepheme.batch.slide_run import Finished
from napari_deepheme.jobs import Progress


class Status(StrEnum):
    """Of a slide in a batch."""

    WAITING = "waiting"
    RUNNING = "running"
    BUSY = "in another run"
    DONE = "done"
    KEPT = "done before"
    FAILED = "failed"


ENDED = {Status.DONE, Status.KEPT, Status.FAILED}


@dataclass(frozen=True, slots=True)
class SlideRow:
    """A slide of a batch.

    Attributes
    ----------
    slide : str
        As it was named, but for the keys in a URL.
    status : Status
    message : str
        What is being done, or why it failed; a sentence.
    cells : int
        Counted by the differential, once it is done.
    seconds : float
        That the last try has taken.
    tries : int
        How often it was begun.
    worker : str
        Address of the worker that has it.
    report : mapping or None
        Its entry of the JSON document, once it is done.
    is_fault : bool
        Whether it failed through no fault of the slide: a worker died, or our code is wrong.
    """

    slide: str
    status: Status = Status.WAITING
    message: str = ""
    cells: int = 0
    seconds: float = 0.0
    tries: int = 0
    worker: str = ""
    report: Mapping[str, object] | None = None
    is_fault: bool = False


@dataclass(frozen=True, slots=True)
class BatchProgress(Progress):
    """A change of one slide's row.

    Attributes
    ----------
    row : SlideRow
    finished : Finished or None
        Its analysis, when it was made in this process.
    """

    row: SlideRow = field(default_factory=lambda: SlideRow(""))
    finished: Finished | None = None


def batch_progress(row: SlideRow, done: int, total: int, finished: Finished | None = None) -> BatchProgress:
    """Say that a row is another one now, ``done`` of ``total`` slides having ended."""
    message = f"{row.slide}: {row.message or row.status}"
    return BatchProgress("Classifying slides", done, total, message, row, finished)
