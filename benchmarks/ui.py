"""The window in a run and with an analysis of many cells: how long one waits, and what it keeps.

Each figure is the time of the main thread's processor, and the longest gap between two ticks of a 10 ms
timer, in milliseconds; beside them the time of a reference (sorting two million numbers) in the same run,
since a busy machine slows all alike.

Run on a virtual screen:  scripts/with_screen.sh python -m benchmarks.ui [--cells 100000]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import napari
import numpy as np
import psutil
from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtTest import QTest

from benchmarks.large_cells import many_cells
from napari_deepheme.sample_data import SAMPLE_SLIDE
from napari_deepheme.store import open_analysis
from napari_deepheme.ui.display import ColourBy, Display
from napari_deepheme.ui.docks import PLUGIN, AllDocks
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.where_box import Where

BARS = {
    "open the docks": 1000,
    "open the analysis": 3000,
    "hide a class": 300,
    "relabel a cell: state and tables": 50,
    "relabel a cell: with painting": 150,
}
TICK_MS = 10


class Stalls:
    """The longest time between two ticks of a timer."""

    def __init__(self) -> None:
        self.longest, self._last = 0.0, time.perf_counter()
        self._timer = QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest, self._last = max(self.longest, now - self._last), now

    def restart(self) -> None:
        """Measure from now on."""
        self.longest, self._last = 0.0, time.perf_counter()


class Watch:
    """Times what is done in the window until it is at rest."""

    def __init__(self) -> None:
        self.stalls = Stalls()

    def take(self, name: str, act: Callable[[], object], rest_ms: int = 300) -> None:
        """Do it, let the window come to rest, and say how long that took."""
        QTest.qWait(rest_ms)
        self.stalls.restart()
        start = time.thread_time()
        act()
        at_once = time.thread_time() - start
        QTest.qWait(rest_ms)
        whole = time.thread_time() - start
        bar = f"  (bar {BARS[name]})" if name in BARS else ""
        print(
            f"{name:34s} {1000 * at_once:8.0f} at once {1000 * whole:8.0f} with painting"
            f" {1000 * self.stalls.longest:8.0f} longest gap{bar}",
            flush=True,
        )


def memory_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def reference_ms() -> float:
    numbers = np.random.default_rng(0).random(2_000_000)
    start = time.thread_time()
    np.sort(numbers)
    return 1000 * (time.thread_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    cells = parser.parse_args().cells
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(shutil.copy(SAMPLE_SLIDE, folder))  # analyses are kept beside it
        path = Path(folder) / "many.deepheme.db"
        many_cells(path, slide, cells)
        measure(path, slide)


def measure(path: Path, slide: Path) -> None:
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    viewer.open(slide, plugin=PLUGIN)
    QTest.qWait(1000)
    watch, before = Watch(), memory_mb()
    docks: list[AllDocks] = []

    def open_docks() -> None:
        docks.append(viewer.window.add_plugin_dock_widget(PLUGIN, "All docks")[1])

    print(f"reference {reference_ms():.0f} ms of the processor")
    watch.take("open the docks", open_docks, 1500)
    QTest.qWait(5000)  # networks are loaded ahead
    print(f"memory above napari's own: {memory_mb() - before:.0f} MB with the docks, torch among it")
    state = state_of(viewer)
    warm_run(watch, docks[0], Where.SLIDE, cancel=True)
    warm_run(watch, docks[0], Where.COUNTABLE)

    def open_it() -> None:
        file = open_analysis(path, write=True)
        state.open(Session.of_analysis(file.analysis(), "many", file))

    watch.take("open the analysis", open_it, 3000)
    print(f"memory above napari's own: {memory_mb() - before:.0f} MB (bar 600)")
    code = str(state.table["label"].value_counts().index[0])
    watch.take("hide a class", lambda: state.hide([code]))
    watch.take("show it again", lambda: state.hide([]))
    other = next(each for each in state.taxonomy.codes if each != code)
    cell = int(state.table.loc[state.table["label"] == code, "cell_id"].iloc[5])
    watch.take("relabel a cell: state and tables", lambda: state.relabel([cell], other))
    docks[0].setCurrentWidget(docks[0].summary)
    watch.take("relabel a cell: with painting", state.undo)
    watch.take("colour by entropy", lambda: setattr(state, "display", Display(ColourBy.ENTROPY)))
    watch.take("shapes by lineage", lambda: setattr(state, "display", Display(lineage_shapes=True)))
    strict = replace(state.options, review_threshold=0.3)
    watch.take("move the review threshold", lambda: setattr(state, "options", strict), 1500)
    frames(docks[0])
    print(f"memory above napari's own: {memory_mb() - before:.0f} MB at the end")
    viewer.close()


def warm_run(watch: Watch, docks: AllDocks, where: Where, *, cancel: bool = False) -> None:
    """Classify with networks that are loaded: to the end, or until points are there and one cancels."""
    classify, state = docks.classify, docks.classify.state
    docks.setCurrentWidget(classify)
    classify.where_box.radios[where].click()
    former = state.session
    QTest.qWait(1000)
    wait_for(
        lambda: QThreadPool.globalInstance().activeThreadCount() == 0
    )  # a cancelled run is in its last step
    watch.stalls.restart()
    start = time.perf_counter()
    classify.run_button.click()
    wait_for(lambda: state.session is not former and len(state.table) > 0)
    print(f"warm run, {where}: first points after {time.perf_counter() - start:.2f} s (bar 2)")
    start = time.perf_counter()
    if cancel:
        classify.cancel_button.click()
    wait_for(lambda: state.run is None)
    QTest.qWait(500)
    ended = time.perf_counter() - start - 0.5
    print(f"  {'stopped' if cancel else 'done'} {ended:.2f} s later{' (bar 1)' if cancel else ''}")
    print(f"  longest gap {1000 * watch.stalls.longest:.0f} ms (bar 150)", flush=True)


def wait_for(condition: Callable[[], bool]) -> None:
    """Let the window work until it is so; :class:`TimeoutError` after two minutes."""
    until = time.perf_counter() + 120
    while not condition():
        if time.perf_counter() > until:
            raise TimeoutError("the run did not come that far in two minutes")
        QTest.qWait(TICK_MS)


def frames(docks: AllDocks) -> None:
    """Frames of the gallery while it scrolls, each painted at once."""
    docks.setCurrentWidget(docks.review)
    QTest.qWait(1500)
    gallery = docks.review.panel.gallery
    bar, painted = gallery.verticalScrollBar(), 0
    start, spent = time.perf_counter(), time.thread_time()
    while time.perf_counter() < start + 3:
        bar.setValue((bar.value() + 37) % max(bar.maximum(), 1))
        gallery.viewport().repaint()
        painted += 1
    spent = time.thread_time() - spent
    print(f"gallery: {painted / spent:.0f} frames in a second of the processor (bar 30)")


if __name__ == "__main__":
    main()
