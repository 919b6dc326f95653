"""A slide searched for cells, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.cells import Region
from napari_deepheme.detect.base import Bounds, Detections, Detector, TileMerge
from napari_deepheme.slide.planes import Pixels
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import Tile, grid, prefetch

_LATTICE_PX = 16  # what networks halve four times falls into the same squares
TILE_PX = 512  # what two of them take to be searched counts in the peak of memory


def tiles_of(
    slide: Slide, regions: Sequence[Region], mpp: float, tile_px: int = TILE_PX, halo_px: int = 0
) -> list[Tile]:
    """Tiles at ``mpp`` that meet a region, row by row."""
    bounds = [region.bounds for region in regions]
    height, width = slide.info.shape
    # whole pixels, so that a halved image is the mean of pairs of them wherever a region begins
    top, left = (max(0, math.floor(min(b[i] for b in bounds))) for i in (0, 1))
    bottom, right = (min(side, max(b[i] for b in bounds)) for i, side in ((2, height), (3, width)))
    if top >= bottom or left >= right:
        return []
    tiles = grid((top, left, bottom, right), slide.scale(), mpp, tile_px, halo_px)
    return [tile for tile in tiles if any(_overlap(tile.core, b) for b in bounds)]


def tile_of(slide: Slide, region: Region, mpp: float, halo_px: int) -> Tile:
    """One tile whose core is exactly a rectangular region; tiles of regions that share an edge share no cell.

    It is sampled at the places where the whole slide would be, so that a cell looks the same.
    """
    top, left, bottom, right = region.bounds
    centre, shape = [], []
    for low, high, own in zip((top, left), (bottom, right), slide.scale(), strict=True):
        step = mpp / own
        first = max(0, math.floor(low / (_LATTICE_PX * step))) * _LATTICE_PX * step
        n = math.ceil((high - first) / step)
        centre.append(first + n * step / 2 - 0.5)
        shape.append(n + 2 * halo_px)
    return Tile((centre[0], centre[1]), (top, left, bottom, right), (shape[0], shape[1]))


def halo_px(detector: Detector) -> int:
    """How far around a core its detector has to see, px."""
    return round(detector.halo_um / detector.mpp)


def read_tile(slide: Slide, tile: Tile, mpp: float) -> tuple[Pixels, NDArray[np.float64]]:
    """A tile's pixels that lie on the slide, and the level-0 (y, x) of the first of them.

    Beyond the slide its edge is repeated, which would draw a cell there out over the edge.
    """
    image = slide.read(tile.centre_yx, tile.shape_px, mpp)
    first, last, origin = [], [], []
    for axis, own in enumerate(slide.scale()):
        n, step = tile.shape_px[axis], mpp / own
        places = tile.centre_yx[axis] + (np.arange(n) - (n - 1) / 2) * step
        inside = np.flatnonzero((places > -0.5) & (places < slide.info.shape[axis] - 0.5))
        first.append(inside[0])
        last.append(inside[-1] + 1)
        origin.append(places[inside[0]])
    return image[first[0] : last[0], first[1] : last[1]], np.array(origin)


def search(slide: Slide, tiles: Sequence[Tile], detector: Detector) -> Iterator[Detections]:
    """The cells of each tile's core, centres in level-0 pixels; each cell comes once.

    Tiles are read and searched on threads of their own, ahead of need, as many at once as the detector wants.
    """
    step = detector.mpp / np.array(slide.scale())

    def found_in(batch: Sequence[Tile]) -> list[Detections]:
        images, origins = zip(*(read_tile(slide, tile, detector.mpp) for tile in batch), strict=True)
        return [
            Detections(origin + found.yx * step, found.diameter_um, found.score)
            for origin, found in zip(origins, detector.detect(images), strict=True)
        ]

    merge = TileMerge(slide.scale())
    largest = max((tile.shape_px[0] * tile.shape_px[1] for tile in tiles), default=1)
    size = max(1, detector.batch_px // largest)
    batches = [tiles[start : start + size] for start in range(0, len(tiles), size)]
    found_in_all = chain.from_iterable(prefetch(batches, found_in))
    for tile, found in zip(tiles, found_in_all, strict=True):
        yield merge.accept(tile.core, found)


def _overlap(a: Bounds, b: Bounds) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
