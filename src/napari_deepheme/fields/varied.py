"""The parts of a slide in which it varies most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.slide.planes import Pixels
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import Tile

_FEWEST_PX, _MOST_PX = 512, 2048


def varied_fields(slide: Slide, tiles: Sequence[Tile], n: int) -> list[Tile]:
    """At most ``n`` tiles, spread over the half of them in which the slide's overview varies most."""
    image, downsample = slide.overview(_overview_px(slide))
    contrast = np.array([_contrast(image, downsample, tile) for tile in tiles])
    varied: NDArray[np.intp] = np.argsort(-contrast, kind="stable")[: max(n, len(tiles) // 2)]
    chosen = varied[np.unique(np.linspace(0, len(varied) - 1, n).astype(int))]
    return [tiles[i] for i in chosen]


def _overview_px(slide: Slide) -> int:
    """Long side of the overview: that of a level of the file, for another is made of far more pixels."""
    sides = [max(level.shape) for level in slide.info.levels]
    return max((side for side in sides if _FEWEST_PX <= side <= _MOST_PX), default=_MOST_PX)


def _contrast(image: Pixels, downsample: tuple[float, float], tile: Tile) -> float:
    """Standard deviation of green in the part of the overview that a tile covers."""
    top, left, bottom, right = tile.core
    rows = slice(int(max(top, 0) / downsample[0]), int(bottom / downsample[0]) + 1)
    columns = slice(int(max(left, 0) / downsample[1]), int(right / downsample[1]) + 1)
    return float(image[rows, columns, 1].std())
