"""Random windows of 512 × 512 px of an SVS, beside OpenSlide, fastslide and tifffile, on one and two threads.

python -m benchmarks.reads [--windows N] [--rounds N] [SLIDE ...]

Every round opens the slide anew with each reader, in another order, and has each read the same windows; what
counts is the median of the rounds' ratios. OpenSlide and tifffile come with napari-deepheme[openslide,zarr];
fastslide is installed by hand (pip install fastslide); where it is not, a line says that it is left out.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TypeAlias

import numpy as np
import tifffile
import zarr
from openslide import OpenSlide

from benchmarks.table import write_rows
from napari_deepheme import open_slide

SLIDES = [
    Path("../shared/data/slides") / name for name in ("mosaic/blood_40x.svs", "real/CMU-1-Small-Region.svs")
]
SIDE = 512
BAR = 2.5
Read: TypeAlias = Callable[[int, int], np.ndarray]
"""Pixels of the window whose top left corner has that row and column."""


@contextmanager
def ours(path: Path) -> Iterator[Read]:
    with open_slide(path) as slide:
        yield lambda top, left: slide.level_pixels(0, (top, left, top + SIDE, left + SIDE))


@contextmanager
def by_openslide(path: Path) -> Iterator[Read]:
    with OpenSlide(path) as slide:
        yield lambda top, left: np.asarray(slide.read_region((left, top), 0, (SIDE, SIDE)))[..., :3]


@contextmanager
def by_fastslide(path: Path) -> Iterator[Read]:
    from fastslide import FastSlide  # noqa: PLC0415  may not be there

    with FastSlide.from_file_path(str(path)) as slide:
        yield lambda top, left: slide.read_region((left, top), 0, (SIDE, SIDE)).numpy()


@contextmanager
def by_tifffile(path: Path) -> Iterator[Read]:
    with tifffile.TiffFile(path) as file, file.aszarr(series=0, level=0) as store:
        array = zarr.open_array(store, mode="r")
        yield lambda top, left: array[top : top + SIDE, left : left + SIDE]


READERS = {"ours": ours, "OpenSlide": by_openslide, "fastslide": by_fastslide, "tifffile": by_tifffile}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("slides", type=Path, nargs="*", default=SLIDES)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    readers = dict(READERS)
    if find_spec("fastslide") is None:
        del readers["fastslide"]
        print("fastslide is not installed and left out")
    for path in options.slides:
        kinds = windows_of(path, options.windows)
        check_same(path, kinds["anywhere"], readers)
        for threads in (1, 2):
            ratios = {
                kind: compare(path, corners, readers, threads, options.rounds)
                for kind, corners in kinds.items()
            }
            write(path, threads, ratios)


def windows_of(path: Path, number: int) -> dict[str, list[tuple[int, int]]]:
    """Top left corners: anywhere, so that tiles come up again, and side by side, so that none does."""
    rng = random.Random(0)
    with open_slide(path) as slide:
        height, width = slide.info.shape
    grid = [(top, left) for top in range(0, height - SIDE, SIDE) for left in range(0, width - SIDE, SIDE)]
    return {
        "anywhere": [(rng.randrange(height - SIDE), rng.randrange(width - SIDE)) for _ in range(number)],
        "each once": rng.sample(grid, len(grid)),
    }


def check_same(path: Path, corners: list[tuple[int, int]], readers: dict[str, Callable[..., object]]) -> None:
    """All give the same picture; decoders of JPEG differ by a level or two."""
    pictures = {}
    for name in readers:
        with READERS[name](path) as read:
            pictures[name] = np.array(read(*corners[0]))
    for name, pixels in pictures.items():
        off = np.abs(pixels.astype(int) - pictures["ours"]).mean()
        assert off < 2, f"{name} gives another picture of {path.name}: {off:.1f} levels off"


def compare(
    path: Path,
    corners: list[tuple[int, int]],
    readers: dict[str, Callable[..., object]],
    threads: int,
    rounds: int,
) -> dict[str, float]:
    """How many times the rate of each of the other readers ours is."""
    rng, names = random.Random(0), list(readers)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in rng.sample(names, len(names)):
            seconds[name].append(timed(path, corners, name, threads))
    rates = {name: f"{len(corners) / median(taken):.0f}/s" for name, taken in seconds.items()}
    print(path.name, f"{len(corners)} windows, {threads} threads", rates, flush=True)
    return {
        name: median(other / own for own, other in zip(seconds["ours"], seconds[name], strict=True))
        for name in names
        if name != "ours"
    }


def write(path: Path, threads: int, ratios: dict[str, dict[str, float]]) -> None:
    """A row of the table."""
    shares = {
        name: " and ".join(f"{each[name]:.2f}" for each in ratios.values()) for name in ratios["anywhere"]
    }
    first = shares.pop("OpenSlide")
    others = ", ".join(f"{name}'s {value}" for name, value in shares.items())
    what = f"reads of 512² px, {' and '.join(ratios)}, `{path.name}`, threads: {threads}"
    write_rows({what: f"{first} times OpenSlide's (bar {BAR}), {others}"})


def timed(path: Path, corners: list[tuple[int, int]], name: str, threads: int) -> float:
    with READERS[name](path) as read, ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for _ in pool.map(lambda corner: read(*corner), corners):
            pass
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
