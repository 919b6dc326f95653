"""A run tells how it ends, whichever way, and lets go of what it held."""

from __future__ import annotations

import subprocess
import sys
from threading import Event
from types import SimpleNamespace

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QThreadPool

from napari_deepheme.errors import JobError, SlideError
from napari_deepheme.jobs import Progress
from napari_deepheme.ui.runner import Runner
from napari_deepheme.ui.state import state_of
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


class Waiting(SimpleNamespace):
    """A task that shows its result until its thread is over, as napari's bar may do."""

    counts = False

    def job(self):
        yield Progress("Working")

    def finish(self, _):
        self.qtbot.wait(300)
        return "done"

    def keep(self, *_):
        pass

    show = ended = keep

    def line(self, _):
        return ""


def test_a_run_whose_thread_ended_before_it_was_shown_does_not_hold_up_the_next(qtbot):
    viewer = ViewerModel()
    state = state_of(viewer)
    for _ in range(2):
        run = Runner(state, Waiting(qtbot=qtbot))
        run.start()
        qtbot.waitUntil(lambda: state.run is None, timeout=10_000)
        assert state.outcome == "done"
        state.run_is(None)


class Held(Waiting):
    """A task in a long step."""

    def job(self):
        self.begun.set()
        self.free.wait(10)
        yield Progress("Working")

    def cancelled(self):
        return "cancelled"


def test_leaving_in_the_middle_of_a_step_is_an_ordinary_end():
    script = """
import time
from qtpy.QtWidgets import QApplication
from napari_deepheme.jobs import Progress
from napari_deepheme.ui.worker import JobRun

def job():
    yield Progress("first")
    time.sleep(0.5)
    yield Progress("second")

app = QApplication([])
run = JobRun(job())
run.progressed.connect(lambda _: app.quit())
run.start()
app.exec()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_begins_when_the_former_one_lets_go_though_nothing_else_holds_that_one(qtbot):
    viewer, begun, free = ViewerModel(), Event(), Event()
    state = state_of(viewer)
    Runner(state, Held(begun=begun, free=free)).start()
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    state.run.cancel()
    Runner(state, Waiting(qtbot=qtbot)).start()
    qtbot.wait(50)
    assert "cancelled run" in state.run.line
    free.set()
    qtbot.waitUntil(lambda: state.run is None, timeout=10_000)
    assert state.outcome == "done"
