"""How long a person waits for a first answer, as ratios to importing torch in the same run.

``info SLIDE`` and ``classify --help`` whole, and ``classify SLIDE`` up to its first cells, each in its own
process. The rounds alternate between them: a machine that is busy for a while slows all of them alike.

Run:  python -m benchmarks.start_up [SLIDE] [--rounds 3]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from napari_deepheme.sample_data import SAMPLE_SLIDE

BARS = {"info": 0.5, "classify --help": 0.5, "first cells": 2.5}

# The command itself, ended as soon as its job gives cells.
FIRST_CELLS = """
import os, sys
import napari_deepheme.analysis.run as run
from napari_deepheme.cli import main

whole = run.analyse_with

def watched(*arguments, **options):
    job = whole(*arguments, **options)
    for progress in job:
        found = getattr(progress, "found", None)
        if found is not None and len(found.ids):
            os._exit(0)
        yield progress
    os._exit(1)

run.analyse_with = watched
main()
"""


def seconds(code: str, *arguments: str) -> float:
    """Wall time of a fresh Python that runs the code."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - start


def main() -> None:
    """Print the median of each ratio, and its bar."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("slide", nargs="?", type=Path, default=SAMPLE_SLIDE)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    slide, command = str(given.slide), "from napari_deepheme.cli import main; main()"
    found: dict[str, list[float]] = {name: [] for name in ("torch", *BARS)}
    for _ in range(given.rounds):
        found["torch"].append(seconds("import torch"))
        found["info"].append(seconds(command, "info", slide))
        found["classify --help"].append(seconds(command, "classify", "--help"))
        with tempfile.TemporaryDirectory() as out:
            found["first cells"].append(seconds(FIRST_CELLS, "classify", slide, "--out", out, "--fresh"))
    unit = median(found["torch"])
    print(f"import torch: {unit:.2f} s")
    for name, bar in BARS.items():
        print(f"{name}: {median(found[name]):.2f} s, ratio {median(found[name]) / unit:.2f} (bar {bar})")


if __name__ == "__main__":
    main()
