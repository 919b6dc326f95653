"""The white of a slide: its empty background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

White = tuple[float, float, float]

DEFAULT_WHITE: White = (245.0, 235.0, 225.0)


def white_of(samples: Sequence[NDArray[np.uint8]]) -> White:
    """RGB (0–255) of the emptiest pixels of a slide, from fields of it; without fields a usual one."""
    if not samples:
        return DEFAULT_WHITE
    pixels = np.concatenate([sample.reshape(-1, 3) for sample in samples])
    # less the few that are burnt out or reflections
    green = pixels[:, 1]
    bright = pixels[(green >= np.percentile(green, 90)) & (green <= np.percentile(green, 99))]
    r, g, b = np.median(bright, axis=0)
    return float(r), float(g), float(b)
