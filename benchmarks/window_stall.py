"""How long the window stands still while the networks load in the background.

A timer of 10 ms ticks in a window at rest; the longest pause between two ticks is the stall. The reference is
the same load begun by a plain import on a thread, in a process of its own. Run it on a screen:

    scripts/with_screen.sh python -m benchmarks.window_stall
"""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.classify.bundle import DEFAULT_BUNDLE
from napari_deepheme.ui import networks
from napari_deepheme.ui.networks import Networks

TICK_MS, BEFORE_MS, AFTER_MS = 10, 500, 500
WAYS = ("mapped first", "plain import")


def main() -> None:
    if len(sys.argv) > 1:
        print(*measured(sys.argv[1]))
        return
    for _ in range(3):
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.window_stall", way]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            stall, idle, seconds = map(float, done.stdout.split())
            longest = f"longest stall {1000 * stall:.0f} ms, at rest {1000 * idle:.0f} ms"
            print(f"{way}: {longest}, loaded in {seconds:.1f} s")


def measured(way: str) -> tuple[float, float, float]:
    """Longest pause while loading, longest before it, and seconds of the load."""
    if way == WAYS[1]:
        networks.map_torch = lambda: None
    app = QApplication([])
    ticks = [time.perf_counter()]
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(TICK_MS)
    wait(app, BEFORE_MS)
    before = len(ticks)
    loading = Networks().warm(DEFAULT_BUNDLE, RunOptions(), AnalysisOptions())
    begun = time.perf_counter()
    while loading.is_alive():
        app.processEvents()
        time.sleep(0.001)
    seconds = time.perf_counter() - begun
    wait(app, AFTER_MS)
    pauses = [later - earlier for earlier, later in pairwise(ticks)]
    return max(pauses[before - 1 :]), max(pauses[5 : before - 1]), seconds


def wait(app: QApplication, ms: int) -> None:
    """Let the window work."""
    until = time.perf_counter() + ms / 1000
    while time.perf_counter() < until:
        app.processEvents()
        time.sleep(0.001)


if __name__ == "__main__":
    main()
