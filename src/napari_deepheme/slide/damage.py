"""Damage to a JPEG that its decoder passes over in silence: a guess, good for a warning and no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.slide.planes import Pixels

_BLOCK = 8
_RUN = 16  # pixels along a line that are judged together
_STEEP, _NOISE = 3.0, 6.0  # a jump is three times the neighbours' own change and well above noise
_MIN_SHARE, _MIN_BOTH = 0.15, 0.6
"""Share of a line that must jump, at one border of a row of blocks and at both together. The slipped
files at hand reach 0.2 to 0.9 at a border and 0.86 at both; of 11,472 good ones none is suspected."""
_MIN_LAST = 0.25, 0.9


def slipped_row(pixels: Pixels) -> int | None:
    """Find where the picture slips: a byte lost in the middle leaves a valid file but a broken picture.

    The decoder garbles some blocks, then goes on with the rest displaced. What gives it away is one row
    of blocks, 8 or 16 pixels high, with a jump at both its borders. A stitched picture has one such
    border here and there but not two so close, unless between them is a plain gutter.

    Returns
    -------
    int or None
        The line at which the row of blocks begins.
    """
    height = len(pixels)
    jumps = {line: _jump(pixels, line) for line in range(_BLOCK, height - 1, _BLOCK)}
    if sum(share > 0.05 for share in jumps.values()) > max(5, len(jumps) // 4):
        return None  # coarsely compressed or enlarged: every block shows its edges
    for line, share in jumps.items():
        if share < _MIN_SHARE or _is_plain(pixels[line : line + _BLOCK]):
            continue
        for next_line in (line + _BLOCK, line + 2 * _BLOCK):
            other = jumps.get(next_line, 0.0)
            if other >= _MIN_SHARE and share + other >= _MIN_BOTH:
                return line
        if line >= height - 2 * _BLOCK and _MIN_LAST[0] <= share <= _MIN_LAST[1]:
            return line
    return None


def _jump(pixels: Pixels, line: int) -> float:
    """Share of the line's runs where the step onto it is far steeper than the steps around."""
    lines = pixels[line - 2 : line + 2].astype(np.int16)
    steps = np.abs(np.diff(lines, axis=0)).sum(axis=2)
    width = steps.shape[1] // _RUN * _RUN
    if not width:
        return 0.0
    runs: NDArray[np.float64] = np.median(steps[:, :width].reshape(3, -1, _RUN), axis=2)
    return float(np.mean(runs[1] > _STEEP * (np.maximum(runs[0], runs[2]) + _NOISE)))


def _is_plain(band: Pixels) -> bool:
    return bool(band.reshape(-1, 3).std(axis=0).max() < 4)
