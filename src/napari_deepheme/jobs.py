"""The only concurrency vocabulary: a job is a generator that reports progress and returns a result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from napari_deepheme.errors import JobError

R = TypeVar("R")
T = TypeVar("T")

_BEAT = 0.2  # seconds after which who waits may think better of it


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come.

    Attributes
    ----------
    stage : str
        What is being done, a few words for a person.
    done, total : int
        Steps done and steps expected; ``total`` 0 means unknown.
    message : str
        A detail worth showing, or empty.
    """

    stage: str
    done: int = 0
    total: int = 0
    message: str = ""


Job: TypeAlias = Generator[Progress, None, R]
"""Yields :class:`Progress`, returns its result; closing the generator cancels the work."""


def drain(job: Job[R], report: Callable[[Progress], None] | None = None) -> R:
    """Run a job to its end and return its result, passing each progress to ``report``."""
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            result: R = stop.value
            return result
        if report is not None:
            report(progress)


def guard(job: Job[R]) -> Job[R]:
    """Pass a job through, turning ``RuntimeError`` into :class:`JobError`.

    superqt's generator worker swallows a ``RuntimeError`` (no error, no end), and that is what
    torch raises for most of its faults.
    """
    try:
        return (yield from job)
    except RuntimeError as err:
        raise JobError(f"The analysis stopped on an internal error: {err}") from err


def ahead(items: Generator[T, None, None]) -> Generator[T | None, None, None]:
    """Yield what a generator gives, which makes the next item on a thread of its own meanwhile.

    None is yielded a few times a second while there is nothing, so that who waits may close it. Closing waits
    for the item that is being made.
    """
    with closing(items), ThreadPoolExecutor(1, "deepheme-ahead") as thread:
        coming = thread.submit(next, items, None)
        while True:
            while not wait([coming], _BEAT).done:
                yield None
            item = coming.result()
            if item is None:
                return
            coming = thread.submit(next, items, None)
            yield item
