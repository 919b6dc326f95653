"""A run end to end against decoding and networks measured alone; networks are loaded before.

python -m benchmarks.end_to_end [--sheets N] [--rounds N] [SLIDE]

SLIDE is ``blood_40x.svs``; ``--sheets 7`` takes a slide put together of 7 × 7 sample smears instead (28,672
px a side, 19,600 cells). Decoding: every tile of level 0 once, on two threads. Networks: the detector over
tiles that were read before, the ensemble over crops that were cut before. Wall time and processor time are
compared each with its own kind: on a machine that others use, the second is the more reliable.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np

from benchmarks.sheets import lay, levels_of
from benchmarks.table import write_rows
from napari_deepheme import AnalysisOptions, drain, load_bundle, open_slide
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.locate import TILE_PX, halo_px
from napari_deepheme.analysis.run import analyse_with
from napari_deepheme.sample_data import SAMPLE_SLIDE
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import crops, grid, prefetch

SLIDE = Path("../shared/data/slides/mosaic/blood_40x.svs")
BAR = 1.35
PART = 256  # tiles of a large slide that are held at once, and crops
EVERYTHING = AnalysisOptions(target_cells=0)
R = TypeVar("R")


class Clock:
    """Wall and processor seconds of what it is called with, added up under a name."""

    def __init__(self) -> None:
        self.spent: dict[str, np.ndarray] = {}

    def __call__(self, name: str, work: Callable[[], R]) -> R:
        """Do some work."""
        before = np.array([time.perf_counter(), time.process_time()])
        result = work()
        after = np.array([time.perf_counter(), time.process_time()])
        self.spent[name] = self.spent.get(name, 0.0) + after - before
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("slide", type=Path, nargs="?", default=SLIDE)
    parser.add_argument("--sheets", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    path = options.slide
    if options.sheets:
        path = Path(tempfile.gettempdir()) / f"sheets-{options.sheets}.tif"
        if not path.exists():
            lay(path, options.sheets, (levels_of(SAMPLE_SLIDE),), lambda _down, _across: 0)
    engine = Engine(load_bundle())
    engine.load(EVERYTHING)
    rounds = [measured(engine, path) for _ in range(options.rounds)]
    for name in rounds[0]:
        wall, busy = np.median([each[name] for each in rounds], axis=0)
        print(f"{name:20} {wall:8.2f} s   {busy:8.2f} s of processors")
    ratios = np.array([each["the run"] / sum(alone(each)) for each in rounds])
    wall, busy = (float(median(column)) for column in ratios.T)
    print(f"ratio {wall:.2f}, of processors {busy:.2f} (bar {BAR})")
    row = f"end to end, `{path.name}`: run / (decoding + networks alone)"
    write_rows({row: f"{wall:.2f}, of processor time {busy:.2f} (bar {BAR})"})


def alone(spent: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [seconds for name, seconds in spent.items() if name in {"decoding", "detector", "ensemble"}]


def measured(engine: Engine, path: Path) -> dict[str, np.ndarray]:
    clock = Clock()
    with open_slide(path) as slide:
        clock("decoding", lambda: decode(slide))
    with open_slide(path) as slide:
        analysis = clock("the run", lambda: drain(analyse_with(engine, slide, EVERYTHING)))
    with open_slide(path) as slide:
        detect(engine, slide, clock)
        spec, yx = engine.bundle.spec, analysis.cells.yx
        for start in range(0, len(yx), PART):
            cut = crops(slide, yx[start : start + PART], spec.input_px, spec.mpp)
            clock("ensemble", lambda cut=cut: engine.ensemble.run(cut))
    print(f"{path.name}: {len(yx)} cells", flush=True)
    return clock.spent


def decode(slide: Slide) -> None:
    height, width = slide.info.shape
    side = 1024
    windows = [
        (top, left, min(height, top + side), min(width, left + side))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    for _ in prefetch(windows, lambda window: slide.level_pixels(0, window)):
        pass


def detect(engine: Engine, slide: Slide, clock: Clock) -> None:
    """The detector over all tiles, two at once, as a run gives them."""
    detector, (height, width) = engine.detector(EVERYTHING), slide.info.shape
    tiles = grid((0, 0, height, width), slide.scale(), detector.mpp, TILE_PX, halo_px(detector))
    for start in range(0, len(tiles), PART):
        part = tiles[start : start + PART]
        windows = list(prefetch(part, lambda t: slide.read(t.centre_yx, t.shape_px, detector.mpp)))
        clock("detector", lambda windows=windows: list(prefetch(windows, lambda w: detector.detect([w]))))


if __name__ == "__main__":
    main()
