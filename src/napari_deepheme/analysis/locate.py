"""Where the cells of a slide are: the units of work in a fixed order, and the finds of each."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.result import Facts
from napari_deepheme.cells import Cells, Region, first_region
from napari_deepheme.detect.base import Bounds, Detections, Detector, DetectorCalibration, TileMerge
from napari_deepheme.errors import DamagedTileError
from napari_deepheme.models.device import cores
from napari_deepheme.slide.planes import Pixels
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import Tile, grid, prefetch

_LATTICE_PX = 16  # what networks halve four times falls into the same squares
TILE_PX = 512  # what two of them take to be searched counts in the peak of memory
_GIVEN = 64  # given cells to a unit

Done = Mapping[str, NDArray[np.float64]]
"""Keys of the units of an earlier run, and the positions (n, 2) of their cells."""


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A unit of work, done and kept as a whole: its cells, or why it could not be read.

    Attributes
    ----------
    key : str
        Names it within the analysis.
    cells : Cells
    failure : str
        Empty if it could be read.
    done : bool
        Whether an earlier run did it; then only the positions of its cells are known.
    """

    key: str
    cells: Cells
    failure: str = ""
    done: bool = False

    @classmethod
    def before(cls, key: str, yx: NDArray[np.float64]) -> Located:
        """A unit of an earlier run."""
        n = len(yx)
        unknown = np.full(n, np.nan, np.float32)
        return cls(key, Cells(yx, unknown, unknown, np.zeros(n, np.int32)), done=True)


class Source(Protocol):
    """Gives the units of an analysis, always in the same order."""

    @property
    def total(self) -> int:
        """How many units there are."""

    def located(self, done: Done) -> Generator[Located, None, None]:
        """All units; ``done`` holds the positions of the cells of those that an earlier run did."""


def source_of(slide: Slide, detector: Detector, facts: Facts) -> Source:
    """What an analysis asks for: given cells, the fields to count, or all tiles of its regions."""
    options, regions = facts.options, facts.regions
    if options.cells is not None:
        return GivenSource(options.cells, regions)
    units = field_units(slide, regions, detector) if facts.fields else tile_units(slide, regions, detector)
    return SearchSource(slide, detector, facts.calibration.detector, regions, units)


class GivenSource:
    """Cells that are known, some at a time.

    Parameters
    ----------
    cells : Cells
    regions : tuple of Region
        Only the cells in them are taken.
    """

    def __init__(self, cells: Cells, regions: tuple[Region, ...]) -> None:
        region = first_region(regions, cells.yx)
        inside = Cells(cells.yx, cells.diameter_um, cells.score, region).take(region >= 0)
        self._parts = [inside.take(slice(i, i + _GIVEN)) for i in range(0, len(inside), _GIVEN)]

    @property
    def total(self) -> int:
        """Parts."""
        return len(self._parts)

    def located(self, done: Done) -> Generator[Located, None, None]:
        """All parts."""
        for number, part in enumerate(self._parts, start=1):
            key = f"given {number}"
            yield Located.before(key, done[key]) if key in done else Located(key, part)


@dataclass(frozen=True, slots=True)
class Unit:
    """A tile to search.

    Attributes
    ----------
    key : str
        Names the unit within the analysis.
    tile : Tile
        What is read; its core is what belongs to the unit.
    region : int or None
        Index of the region that the tile is; None if its cells may lie in several.
    """

    key: str
    tile: Tile
    region: int | None = None


def field_units(slide: Slide, regions: Sequence[Region], detector: Detector) -> list[Unit]:
    """A unit for each rectangular region, such as the fields to count, in their order."""
    halo, mpp = halo_px(detector), detector.mpp
    return [Unit(region.name, tile_of(slide, region, mpp, halo), i) for i, region in enumerate(regions)]


def tile_units(slide: Slide, regions: Sequence[Region], detector: Detector) -> list[Unit]:
    """All tiles that meet a region, in a fixed random order: a count that stops early is spread."""
    tiles = tiles_of(slide, regions, detector.mpp, halo_px=halo_px(detector))
    order = np.random.default_rng(0).permutation(len(tiles))
    return [Unit(f"tile {i + 1}", tiles[i]) for i in order]


class SearchSource:
    """Tiles that are searched for cells, ahead of need.

    Parameters
    ----------
    slide : Slide
    detector : Detector
    calibration : DetectorCalibration
        Of the slide.
    regions : tuple of Region
    units : sequence of Unit
        In a fixed order.
    once : bool
        Whether of a cell that two tiles share the first keeps it; else both have it, until they are merged.
    """

    def __init__(
        self,
        slide: Slide,
        detector: Detector,
        calibration: DetectorCalibration,
        regions: tuple[Region, ...],
        units: Sequence[Unit],
        *,
        once: bool = True,
    ) -> None:
        self._slide, self._detector, self._calibration = slide, detector, calibration
        self._regions, self._units, self._once = regions, units, once

    @property
    def total(self) -> int:
        """Tiles."""
        return len(self._units)

    def located(self, done: Done) -> Generator[Located, None, None]:
        """Tiles are read and searched on threads of their own, as many together as the detector wants.

        A tile that cannot be read is located with a failure, and the search goes on.
        """
        units, merge = self._units, TileMerge(self._slide.scale())
        for unit in units:
            if unit.key in done:
                merge.remember(unit.tile.core, done[unit.key])
        largest = max((unit.tile.shape_px[0] * unit.tile.shape_px[1] for unit in units), default=1)
        size = max(1, self._detector.batch_px // largest)
        # batches are cut before the units that are done are left out: networks round differently in others
        batches = [units[start : start + size] for start in range(0, len(units), size)]
        threads = max(2, cores())  # with one, reading still goes on beside the network
        wanted = (batch for batch in batches if not all(unit.key in done for unit in batch))
        with closing(prefetch(wanted, self._search, threads=threads, ahead=threads)) as searched:
            for batch in batches:
                if all(unit.key in done for unit in batch):
                    yield from (Located.before(unit.key, done[unit.key]) for unit in batch)
                    continue
                for unit, each in zip(batch, next(searched), strict=True):
                    if unit.key in done:
                        yield Located.before(unit.key, done[unit.key])
                    elif isinstance(each, DamagedTileError):
                        yield Located(unit.key, Cells.empty(), str(each))
                    else:
                        cells = self._cells(unit, merge.own(unit.tile.core, each))
                        new = merge.new(unit.tile.core, cells.yx) if self._once else slice(None)
                        yield Located(unit.key, cells.take(new))

    def _search(self, units: Sequence[Unit]) -> list[Detections | DamagedTileError]:
        """The finds of each tile in level-0 pixels, or why it cannot be read."""
        read: list[tuple[Pixels, NDArray[np.float64]] | DamagedTileError] = []
        for unit in units:
            try:
                read.append(read_tile(self._slide, unit.tile, self._detector.mpp))
            except DamagedTileError as err:
                read.append(err)
        images = [each[0] for each in read if not isinstance(each, DamagedTileError)]
        found = iter(self._detector.detect(images, self._calibration))
        step = self._detector.mpp / np.array(self._slide.scale())
        return [
            each if isinstance(each, DamagedTileError) else next(found).placed(each[1], step) for each in read
        ]

    def _cells(self, unit: Unit, found: Detections) -> Cells:
        """The finds that lie in a region, as cells of it."""
        if unit.region is not None:
            region = np.full(len(found.yx), unit.region, np.int32)
            return Cells(found.yx, found.diameter_um, found.score, region)
        region = first_region(self._regions, found.yx)
        return Cells(found.yx, found.diameter_um, found.score, region).take(region >= 0)


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


def _overlap(a: Bounds, b: Bounds) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
