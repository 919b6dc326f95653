"""Time and memory of the search for countable regions on a 61,440 × 61,440 px slide (15 mm at 0.25 µm/px).

python -m benchmarks.region_search [FILE]

FILE is put together if it is not there (a minute, 1 GB): the sample smear over and over, red cells only round
it, glass beyond. The seconds of the search are compared with decoding the slide's overview in the same run.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.sheets import MPP, lay, levels_of
from napari_deepheme import drain, open_slide
from napari_deepheme.fields import judge_fields, ranked, seen
from napari_deepheme.sample_data import SAMPLE_SLIDE
from napari_deepheme.synth import SmearSpec, write_smear

SHEETS = 15
BARS = 60.0, 1.5  # seconds, GB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "file", type=Path, nargs="?", default=Path(tempfile.gettempdir()) / "regions-61440.tif"
    )
    path = parser.parse_args().file
    if not path.exists():
        put_together(path)
    search(path)


def search(path: Path) -> None:
    before = peak_gb()
    with open_slide(path) as slide:
        start = time.perf_counter()
        slide.overview()
        overview = time.perf_counter() - start
    with open_slide(path) as slide:
        start, begun = time.perf_counter(), time.process_time()
        fields = drain(judge_fields(slide))
        seconds, busy = time.perf_counter() - start, time.process_time() - begun
    print(seen(fields))
    print(dict(Counter(field.kind.value for field in fields)), "ranked:", len(ranked(fields)))
    print(f"search {seconds:.1f} s (bar {BARS[0]:g}), {busy:.1f} s of processors,")
    print(f"{seconds / overview:.0f} times a decoded overview")
    print(f"peak {peak_gb():.2f} GB (bar {BARS[1]:g}), {before:.2f} GB of it python and the package")


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def put_together(path: Path) -> None:
    """Lay sheets of the sample's size side by side, encoding every tile of a sheet once."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        red = Path(folder) / "red.svs"
        with open_slide(SAMPLE_SLIDE) as sample:
            side = sample.info.shape[0]
        drain(write_smear(red, SmearSpec((side, side), n_cells=0, seed=1, mpp=MPP)))
        smear, red_only = (levels_of(each) for each in (SAMPLE_SLIDE, red))
    glass = [np.full_like(level, np.percentile(level, 95, axis=(0, 1))) for level in red_only]
    lay(path, SHEETS, (smear, red_only, glass), kind)


def kind(down: int, across: int) -> int:
    """0 in the tongue, 1 in its rim, 2 beyond."""
    middle = (SHEETS - 1) / 2
    distance = np.hypot(down - middle, across - middle) / middle
    return 0 if distance < 0.75 else 1 if distance < 0.95 else 2


if __name__ == "__main__":
    main()
