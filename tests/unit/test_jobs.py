import pytest

from napari_deepheme.errors import JobError, SlideError
from napari_deepheme.jobs import Job, Progress, drain, guard


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
