from collections.abc import Generator
from contextlib import closing
from itertools import islice
from threading import Event
from threading import enumerate as enumerate_threads

import pytest

from napari_deepheme.errors import JobError, SlideError
from napari_deepheme.jobs import Job, Progress, ahead, drain, guard


def job(fault: Exception | None = None) -> Job[str]:
    yield Progress("one", 1, 2)
    if fault is not None:
        raise fault
    yield Progress("two", 2, 2)
    return "result"


def test_a_drained_job_gives_its_result_and_every_progress():
    seen = []
    assert drain(job(), seen.append) == "result"
    assert [progress.done for progress in seen] == [1, 2]


def test_a_runtime_error_of_torch_is_not_swallowed_by_the_worker():
    with pytest.raises(JobError, match="CUDA out of memory") as caught:
        drain(guard(job(RuntimeError("CUDA out of memory"))))
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_the_users_errors_pass_the_guard_unchanged():
    with pytest.raises(SlideError, match="truncated"):
        drain(guard(job(SlideError("truncated"))))


def test_closing_a_guarded_job_closes_the_job_inside():
    closed = []

    def inner() -> Job[None]:
        try:
            yield Progress("working")
            yield Progress("still working")
        finally:
            closed.append(True)

    guarded = guard(inner())
    next(guarded)
    guarded.close()
    assert closed == [True]


def test_what_runs_ahead_comes_in_order_and_none_while_there_is_nothing():
    may_go = Event()

    def slow() -> Generator[int, None, None]:
        yield 1
        assert may_go.wait(60)
        yield 2

    with closing(ahead(slow())) as items:
        first = [item for item in islice(items, 3) if item is not None]
        may_go.set()
        rest = [item for item in items if item is not None]
    assert (first, rest) == ([1], [2])


def test_closing_what_runs_ahead_closes_it_and_leaves_no_thread():
    closed = []

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    items = ahead(endless())
    next(items)
    items.close()
    assert closed == [True]
    assert not [t for t in enumerate_threads() if t.name.startswith("deepheme-ahead")]


def test_what_runs_ahead_hands_on_its_fault():
    def broken() -> Generator[int, None, None]:
        yield 1
        raise SlideError("truncated")

    with pytest.raises(SlideError, match="truncated"):
        list(ahead(broken()))
