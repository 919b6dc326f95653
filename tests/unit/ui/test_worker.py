"""A run tells how it ends, whichever way, and lets go of what it held."""

from __future__ import annotations

from threading import Event

import pytest
from qtpy.QtCore import QThreadPool

from napari_deepheme.errors import JobError, SlideError
from napari_deepheme.jobs import Progress
from napari_deepheme.ui.worker import JobRun


def job(closed, err=None):
    try:
        yield Progress("first")
        if err is not None:
            raise err
        while not closed.wait(0.01):
            yield Progress("more")
        return "result"
    finally:
        closed.set()


@pytest.fixture
def closed(qapp):
    closed = Event()
    yield closed
    closed.set()
    QThreadPool.globalInstance().waitForDone()


@pytest.mark.parametrize(
    ("err", "kind"), [(RuntimeError("CUDA out of memory"), JobError), (SlideError("a tile"), SlideError)]
)
def test_a_fault_is_told(qtbot, closed, err, kind):
    run = JobRun(job(closed, err))
    with qtbot.waitSignal(run.failed, timeout=10_000) as seen:
        run.start()
    assert isinstance(seen.args[0], kind)
    assert str(err) in str(seen.args[0])


def test_the_result_is_told(qtbot, closed):
    run = JobRun(job(closed))
    run.progressed.connect(lambda _: closed.set())
    with qtbot.waitSignal(run.succeeded, timeout=10_000) as seen:
        run.start()
    assert seen.args == ["result"]


def test_after_cancel_nothing_comes_and_the_job_is_closed(qtbot, closed):
    run, heard = JobRun(job(closed)), []
    for signal in (run.progressed, run.succeeded, run.failed):
        signal.connect(heard.append)
    with qtbot.waitSignal(run.progressed, timeout=10_000):
        run.start()
    run.cancel()
    heard.clear()
    qtbot.waitUntil(closed.is_set, timeout=10_000)
    QThreadPool.globalInstance().waitForDone()
    qtbot.wait(50)
    assert heard == []
