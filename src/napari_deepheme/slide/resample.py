"""Reading a plane at another scale without moving anything by half a pixel."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from napari_deepheme.slide.planes import Damaged, Pixels, Plane, read_padded

_FILTER = Image.Resampling.LANCZOS
"""Of Pillow's filters the one nearest to an ideal low-pass on real cells: at half size its error is
0.6 of Hamming's and less than half the bilinear filter's, at a shift of half a pixel too."""
_SUPPORT = 3  # source pixels the filter reaches, times the reduction


def resample(
    plane: Plane,
    own: tuple[float, float],
    centre: tuple[float, float],
    shape: tuple[int, int],
    downsample: tuple[float, float],
    damaged: Damaged = Damaged.SHOW,
) -> Pixels:
    """Read ``shape`` pixels around a point, ``downsample`` level-0 pixels apart (y, x).

    Parameters
    ----------
    plane : Plane
        Where to read.
    own : tuple of float
        Its own downsample.
    centre : tuple of float
        (y, x), level-0 pixels, pixel centres at integers.
    shape : tuple of int
        Rows and columns of the result.
    downsample : tuple of float
        Distance of the result's pixels. Where it is the plane's own and they fall on the plane's,
        the pixels are returned as they are.
    damaged : Damaged
        Whether a damaged tile is raised or shown.
    """
    rows = _Span.of(centre[0], shape[0], downsample[0], own[0])
    columns = _Span.of(centre[1], shape[1], downsample[1], own[1])
    pixels = read_padded(plane, (rows.start, columns.start, rows.stop, columns.stop), damaged)
    if rows.exact and columns.exact:
        return pixels.copy()
    box = (columns.low, rows.low, columns.high, rows.high)
    return np.asarray(Image.fromarray(pixels).resize((shape[1], shape[0]), _FILTER, box=box))


class _Span:
    """One axis of a read: the level's pixels to fetch and where in them the result lies."""

    __slots__ = ("exact", "high", "low", "start", "stop")

    def __init__(self, first: float, last: float, size: int) -> None:
        """``first`` and ``last`` are the outer edges of the result, level pixels, pixel k from k to k + 1."""
        step = (last - first) / size
        self.exact = abs(step - 1) * size < 1e-3 and abs(first - round(first)) < 1e-3
        if self.exact:
            self.start = round(first)
            self.stop = self.start + size
            first, last = float(self.start), float(self.stop)  # the other axis may still need resampling
        else:
            margin = math.ceil(_SUPPORT * max(1.0, step)) + 1
            self.start, self.stop = math.floor(first) - margin, math.ceil(last) + margin
        self.low, self.high = first - self.start, last - self.start

    @classmethod
    def of(cls, centre: float, size: int, downsample: float, level: float) -> _Span:
        """Span of ``size`` pixels, ``downsample`` level-0 pixels apart, in a level of that downsample."""
        # in edges rather than centres (+ ½) a level is a plain division: its pixel k covers [k·d, (k+1)·d)
        middle, half = centre + 0.5, size * downsample / 2
        return cls((middle - half) / level, (middle + half) / level, size)
