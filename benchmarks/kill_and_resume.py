"""Runs that are killed (-9) at random moments and resumed, compared with one that was not.

python -m benchmarks.kill_and_resume [SLIDE [KILLS]]      every column must be the same each time
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from napari_deepheme import cells_table, open_analysis

SLIDE = Path("../shared/data/slides/mosaic/blood_40x.svs")


def command(slide: Path, out: Path) -> list[str]:
    """What is run; its output is of no interest."""
    program = [sys.executable, "-m", "napari_deepheme", "classify", str(slide)]
    return [*program, "--target-cells", "0", "--out", str(out)]


def read(slide: Path, folder: Path) -> tuple[pd.DataFrame, int]:
    """The table of a run, and its units."""
    with open_analysis(folder / f"{slide.stem}.deepheme.db") as file:
        analysis = file.analysis()
    return cells_table(analysis), len(analysis.units)


def main() -> None:
    """Kill each run once, at a moment drawn evenly from an undisturbed run's time."""
    slide = Path(sys.argv[1]) if len(sys.argv) > 1 else SLIDE
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        start = time.perf_counter()
        subprocess.run(command(slide, whole), check=True, capture_output=True)
        took = time.perf_counter() - start
        expected, units = read(slide, whole)
        print(f"undisturbed: {took:.1f} s, {len(expected)} cells, {units} units", flush=True)
        for number in range(kills):
            out = Path(scratch) / str(number)
            process = subprocess.Popen(
                command(slide, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            at = rng.uniform(0.1, 1.0) * took
            time.sleep(at)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            done = 0
            if (out / f"{slide.stem}.deepheme.db").exists():
                with open_analysis(out / f"{slide.stem}.deepheme.db") as file:
                    done = len(file.done())
            subprocess.run(command(slide, out), check=True, capture_output=True)
            found, _ = read(slide, out)
            pd.testing.assert_frame_equal(found, expected, check_exact=True)
            print(f"kill {number + 1} at {at:.1f} s, {done} of {units} units done: the same", flush=True)


if __name__ == "__main__":
    main()
