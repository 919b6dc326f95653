"""A level of a slide as an array that dask reads block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_deepheme.slide.reader import Slide


class LevelArray:
    """One level as the array-like that dask slices."""

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __init__(self, slide: Slide, level: int) -> None:
        self._slide, self._level = slide, level
        self.shape = (*slide.level_shape(level), 3)

    def __getitem__(self, key: tuple[slice, slice, slice]) -> NDArray[np.uint8]:
        rows, columns = (range(*part.indices(size)) for part, size in zip(key, self.shape[:2], strict=False))
        window = (rows.start, columns.start, rows.stop, columns.stop)
        if not len(rows) or not len(columns):
            return np.zeros((len(rows), len(columns), 3), np.uint8)[..., key[2]]
        return self._slide.level_pixels(self._level, window)[:: rows.step, :: columns.step, key[2]]
