"""Peak memory and seconds of ``classify`` on very large slides, sparse on disk, each in a process of its own.

python -m benchmarks.large_memory

Slides of 24,576, 61,440 and 102,400 px a side whose middle holds 3 × 3 sample smears and whose other tiles
are left out of the file. A 500-cell differential from the command line, start included.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.sheets import lay, levels_of
from benchmarks.table import write_rows
from napari_deepheme.sample_data import SAMPLE_SLIDE

SHEETS = {"25,000": 6, "60,000": 15, "100,000": 25}
BARS = 1.15, 1.5, 60  # times, GB, seconds


def main() -> None:
    seconds, peaks = {}, {}
    for name, n in SHEETS.items():
        path = Path(tempfile.gettempdir()) / f"sparse-{n}.tif"
        if not path.exists():
            put_together(path, n)
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "napari_deepheme", "classify", str(path), "--out", out]
            start, before = time.perf_counter(), busy()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name] = time.perf_counter() - start
            # the largest child so far: the slides come in order of their size
            peaks[name] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        spent = f"{seconds[name]:.0f} s, {busy() - before:.0f} s of processors"
        print(f"{name} px: {spent}, peak so far {peaks[name]:.2f} GB", flush=True)
        write_rows({f"500 cells of {name}² px from the command line": f"{spent} (bar {BARS[2]} s)"})
    small, large = peaks["25,000"], peaks["100,000"]
    figure = f"{large:.2f} GB, {large / small:.2f} times that of 25,000² px (bars {BARS[1]} GB, {BARS[0]})"
    write_rows({"peak memory of 100,000² px": figure})
    print(figure)


def busy() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def put_together(path: Path, n: int) -> None:
    middle = n // 2
    lay(
        path,
        n,
        (levels_of(SAMPLE_SLIDE),),
        lambda down, across: 0 if max(abs(down - middle), abs(across - middle)) <= 1 else None,
    )


if __name__ == "__main__":
    main()
