"""Tiles to detect in, crops to classify, and reading ahead of need."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.slide.planes import Pixels
from napari_deepheme.slide.reader import Slide

T = TypeVar("T")
R = TypeVar("R")

_NEIGHBOURHOOD_PX = 1024
"""Level-0 pixels: cells this close are read one after the other, so that they share decoded tiles."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A square to read with a halo, of which only the core counts.

    Attributes
    ----------
    centre_yx : tuple of float
        What to give :meth:`Slide.read`, level-0 pixels.
    core : tuple of float
        Top, left, bottom and right, level-0 pixels, half-open: every point of the bounds lies in the
        core of exactly one tile.
    shape_px : tuple of int
        Rows and columns to read at the working scale, halo included; the same for all tiles.
    """

    centre_yx: tuple[float, float]
    core: tuple[float, float, float, float]
    shape_px: tuple[int, int]

    def holds(self, yx: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the (n, 2) level-0 points lie in the core."""
        top, left, bottom, right = self.core
        y, x = yx[:, 0], yx[:, 1]
        inside: NDArray[np.bool_] = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        return inside


def grid(
    bounds: tuple[float, float, float, float],
    mpp_slide: tuple[float, float],
    mpp: float,
    tile_px: int,
    halo_px: int,
) -> list[Tile]:
    """Cover a rectangle with tiles, row by row.

    Parameters
    ----------
    bounds : tuple of float
        Top, left, bottom and right, level-0 pixels, half-open.
    mpp_slide : tuple of float
        µm/px of level 0, (y, x).
    mpp : float
        µm/px the tiles are read at.
    tile_px, halo_px : int
        Side of a core and width of the halo round it, pixels at ``mpp``. The last cores of a row or
        column end with the bounds; what is read keeps its size.
    """
    if tile_px < 1 or halo_px < 0 or not mpp > 0:
        raise ValueError(
            f"grid: expected tile_px >= 1, halo_px >= 0, mpp > 0; got {tile_px}, {halo_px}, {mpp}"
        )
    side = tile_px + 2 * halo_px
    rows, columns = (
        _cuts(bounds[axis], bounds[axis + 2], tile_px * mpp / mpp_slide[axis]) for axis in (0, 1)
    )
    return [
        Tile((y, x), (top, left, bottom, right), (side, side))
        for y, top, bottom in rows
        for x, left, right in columns
    ]


def _cuts(first: float, last: float, step: float) -> list[tuple[float, float, float]]:
    """Centre, start and end of each core along one axis."""
    count = max(0, math.ceil((last - first) / step - 1e-9))
    edges = [min(first + step * k, last) for k in range(count)] + [last]
    # pixel centres lie at integers, so the pixels first .. first + n - 1 have their middle ½ lower
    return [(first + step * (k + 0.5) - 0.5, edges[k], edges[k + 1]) for k in range(count)]


def crops(slide: Slide, yx: NDArray[np.float64], size_px: int, mpp: float) -> Pixels:
    """Read a window around each cell.

    Parameters
    ----------
    slide : Slide
        Where to read.
    yx : ndarray of float, shape (n, 2)
        Centres, level-0 pixels.
    size_px : int
        Side of a window, pixels at ``mpp``.
    mpp : float
        µm/px of the windows.

    Returns
    -------
    ndarray of uint8, shape (n, size_px, size_px, 3)
        In the order of ``yx``.
    """
    windows = np.empty((len(yx), size_px, size_px, 3), np.uint8)
    for index in _by_neighbourhood(np.asarray(yx, np.float64)):
        centre = float(yx[index, 0]), float(yx[index, 1])
        windows[index] = slide.read(centre, (size_px, size_px), mpp)
    return windows


def _by_neighbourhood(yx: NDArray[np.float64]) -> NDArray[np.intp]:
    if not len(yx):
        return np.zeros(0, np.intp)
    square = np.floor(yx / _NEIGHBOURHOOD_PX)
    return np.lexsort((yx[:, 1], square[:, 1], square[:, 0]))


def prefetch(
    items: Iterable[T], function: Callable[[T], R], *, threads: int = 2, ahead: int = 2
) -> Generator[R, None, None]:
    """Yield ``function(item)`` in order, computing up to ``ahead`` results before they are asked for.

    Closing the generator drops what has not begun and waits for what has.
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="deepheme-read")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
