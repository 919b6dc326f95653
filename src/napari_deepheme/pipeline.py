"""A slide and a bundle to an analysis: tiles → cells → crops → ensemble, as one job.

torch is imported when a job starts, not with this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.cells import Cells, Predictions, Region, first_region
from napari_deepheme.classify.bundle import Bundle, BundleSpec, Device
from napari_deepheme.detect.base import Bounds, Detections, Detector, TileMerge
from napari_deepheme.detect.stain import StainDetector
from napari_deepheme.errors import OptionError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.regions import varied_fields
from napari_deepheme.slide.metadata import SlideInfo
from napari_deepheme.slide.planes import Pixels
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import Tile, crops, grid, prefetch

_TILE_PX = 512  # what two of them take to be searched counts in the peak of memory
_SAMPLES, _STAIN_CELLS = 16, 128


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """What to analyse and when to stop.

    Attributes
    ----------
    target_cells : int
        Stop once this many cells that the differential counts are found; 0 analyses everything.
    regions : tuple of Region
        Parts of the slide to analyse, none for all of it; a cell belongs to the first that holds its centre.
    device : Device
        Where the networks run.
    batch_size : int
        Crops per pass through the networks.
    match_stain : bool
        Whether crops take the colours the model was trained on, measured on cells from all over the slide.
    """

    target_cells: int = 500
    regions: tuple[Region, ...] = ()
    device: Device = Device.AUTO
    batch_size: int = 64
    match_stain: bool = True

    def __post_init__(self) -> None:
        if self.target_cells < 0:
            raise OptionError(
                f"Target cells: {self.target_cells} is below zero; give a number of cells, or 0 for all."
            )
        if self.batch_size < 1:
            raise OptionError(f"Batch size: {self.batch_size} is below one; give 1 or more.")


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Cells of a slide with what the ensemble says of each.

    Attributes
    ----------
    slide : SlideInfo
    bundle : BundleSpec
    regions : tuple of Region
        What was analysed; ``cells.region`` points into it.
    cells : Cells
        n of them, in the order found.
    predictions : Predictions
        Of the same n cells.
    warnings : tuple of str
        What a person should know before believing the numbers.
    stain_matched : bool
        Whether the cells were shown to the model in the colours it was trained on.
    """

    slide: SlideInfo
    bundle: BundleSpec
    regions: tuple[Region, ...]
    cells: Cells
    predictions: Predictions
    warnings: tuple[str, ...]
    stain_matched: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CellsReady(Progress):
    """Progress that carries the analysis of the cells classified since the last one.

    Attributes
    ----------
    found : Analysis or None
        The new cells.
    share : float
        How much of the work is done, 0 to 1: the fields seen or the cells counted, whichever is further.
    """

    found: Analysis | None = field(default=None)
    share: float = 0.0


def analyse(slide: Slide, bundle: Bundle, options: AnalysisOptions | None = None) -> Job[Analysis]:
    """Find and classify the nucleated cells of a slide.

    Tiles are visited in a fixed shuffled order, so that a count which stops early is spread over the slide.

    Parameters
    ----------
    slide : Slide
    bundle : Bundle
    options : AnalysisOptions, optional

    Yields
    ------
    Progress
        :class:`CellsReady` after each batch of cells; ``done`` and ``total`` are counted cells when there
        is a target, else tiles.

    Returns
    -------
    Analysis

    Raises
    ------
    ScaleError
        The slide's µm/px is not known.
    BundleError, OptionError, SlideError
        The bundle, an option or the slide cannot be used.
    """
    options = options or AnalysisOptions()
    run = _Run(slide, bundle, options)
    yield Progress("Loading the model")
    run.load_ensemble()
    yield Progress("Looking over the slide")
    detector = run.look_over(StainDetector())
    tiles = run.tiles(detector)
    n_tiles = len(tiles)
    counted = 0
    for number, detections in enumerate(prefetch(tiles, lambda tile: run.detect(tile, detector)), start=1):
        cells = run.accept(tiles[number - 1], detections)
        for batch in _batches(cells, options.batch_size):
            part = run.classify(batch, counted)
            counted += run.counted(part.predictions)
            yield run.progress(counted, number, n_tiles, part)
            if 0 < options.target_cells <= counted:
                return run.result()
        if len(cells) == 0:
            yield run.progress(counted, number, n_tiles, None)
    return run.result()


class _Run:
    """One analysis under way: what was given, and the cells accepted so far."""

    def __init__(self, slide: Slide, bundle: Bundle, options: AnalysisOptions) -> None:
        self.mpp = slide.scale()
        self.slide, self.bundle, self.options = slide, bundle, options
        height, width = slide.info.shape
        self._whole = Region.box("slide", -0.5, -0.5, height - 0.5, width - 0.5)
        self.regions = options.regions or (self._whole,)
        self.warnings = (*slide.info.warnings, *self._scale_warning())
        self.stain_matched = False
        self._cells: list[Cells] = []
        self._predictions: list[Predictions] = []
        self._merge = TileMerge(self.mpp)

    def load_ensemble(self) -> None:
        """Import torch and load the members."""
        from napari_deepheme.classify.ensemble import Ensemble  # noqa: PLC0415  torch takes seconds

        self.ensemble = Ensemble(self.bundle, self.options.device, self.options.batch_size)

    def _scale_warning(self) -> tuple[str, ...]:
        wanted = self.bundle.spec.mpp
        if max(self.mpp) <= 1.3 * wanted:
            return ()
        return (
            f"The slide has {max(self.mpp):.3g} µm/px, the model was trained at {wanted:.3g}: "
            "cells are enlarged for it and calls are less reliable.",
        )

    def look_over(self, detector: Detector) -> Detector:
        """Fit detector and model to windows from the most varied parts of the slide.

        Of the whole slide, so that a cell is found and called the same whatever region is asked for.
        """
        tiles = self._tiles((self._whole,), detector, tile_px=512, halo_px=0)
        fields = varied_fields(self.slide, tiles, _SAMPLES)
        samples = list(prefetch(fields, lambda tile: self._read(tile, detector)))
        adapted = detector.adapt([image for image, _ in samples])
        if self.options.match_stain and self.bundle.spec.stain is not None:
            self._match_stain(adapted, samples)
        return adapted

    def _match_stain(self, detector: Detector, samples: Sequence[tuple[Pixels, NDArray[np.float64]]]) -> None:
        step = detector.mpp / np.array(self.mpp)
        places = np.concatenate([origin + detector.detect(image).yx * step for image, origin in samples])
        some = places[np.linspace(0, len(places) - 1, min(len(places), _STAIN_CELLS)).astype(int)]
        spec = self.bundle.spec
        self.stain_matched = self.ensemble.match_stain(crops(self.slide, some, spec.input_px, spec.mpp))
        if not self.stain_matched:
            self.warnings += (
                "The slide's stain could not be measured (too few cells or no red cells): its colours are "
                "shown to the model as they are.",
            )

    def tiles(self, detector: Detector) -> list[Tile]:
        """Tiles that meet a region, shuffled."""
        tiles = self._tiles(self.regions, detector, _TILE_PX, round(detector.halo_um / detector.mpp))
        order = np.random.default_rng(0).permutation(len(tiles))
        return [tiles[i] for i in order]

    def _tiles(
        self, regions: tuple[Region, ...], detector: Detector, tile_px: int, halo_px: int
    ) -> list[Tile]:
        bounds = [region.bounds for region in regions]
        height, width = self.slide.info.shape
        # whole pixels, so that a halved image is the mean of pairs of them wherever a region begins
        top, left = (max(0, math.floor(min(b[i] for b in bounds))) for i in (0, 1))
        bottom, right = (min(side, max(b[i] for b in bounds)) for i, side in ((2, height), (3, width)))
        if top >= bottom or left >= right:
            return []
        tiles = grid((top, left, bottom, right), self.mpp, detector.mpp, tile_px, halo_px)
        return [tile for tile in tiles if any(_overlap(tile.core, b) for b in bounds)]

    def detect(self, tile: Tile, detector: Detector) -> Detections:
        """Detections of a tile with centres in level-0 pixels (runs on a reading thread)."""
        image, origin = self._read(tile, detector)
        found = detector.detect(image)
        step = detector.mpp / np.array(self.mpp)
        return Detections(origin + found.yx * step, found.diameter_um, found.score)

    def _read(self, tile: Tile, detector: Detector) -> tuple[Pixels, NDArray[np.float64]]:
        """A tile's pixels that lie on the slide, and the level-0 (y, x) of the first of them.

        Beyond the slide its edge is repeated, which would draw a cell there out over the edge.
        """
        image = self.slide.read(tile.centre_yx, tile.shape_px, detector.mpp)
        first, last, origin = [], [], []
        for axis in (0, 1):
            n, step = tile.shape_px[axis], detector.mpp / self.mpp[axis]
            places = tile.centre_yx[axis] + (np.arange(n) - (n - 1) / 2) * step
            inside = np.flatnonzero((places > -0.5) & (places < self.slide.info.shape[axis] - 0.5))
            first.append(inside[0])
            last.append(inside[-1] + 1)
            origin.append(places[inside[0]])
        return image[first[0] : last[0], first[1] : last[1]], np.array(origin)

    def accept(self, tile: Tile, found: Detections) -> Cells:
        """The cells of a tile that lie in a region."""
        found = self._merge.accept(tile.core, found)
        region = first_region(self.regions, found.yx)
        return Cells(found.yx, found.diameter_um, found.score, region).take(region >= 0)

    def classify(self, cells: Cells, counted: int) -> Analysis:
        """Classify one batch, keep it up to the target, and give it as a part of the analysis."""
        spec = self.bundle.spec
        predictions = self.ensemble.predict(crops(self.slide, cells.yx, spec.input_px, spec.mpp))
        if self.options.target_cells:
            total = counted + np.cumsum(self._counts(predictions))
            end = int(np.searchsorted(total, self.options.target_cells)) + 1
            cells, predictions = cells.take(slice(0, end)), predictions.take(slice(0, end))
        self._cells.append(cells)
        self._predictions.append(predictions)
        return self._analysis(cells, predictions)

    def _counts(self, predictions: Predictions) -> NDArray[np.bool_]:
        counted = np.array([c.counted for c in self.bundle.spec.taxonomy.classes])
        result: NDArray[np.bool_] = counted[predictions.mean.argmax(axis=1)]
        return result

    def counted(self, predictions: Predictions) -> int:
        """How many of the cells the differential counts."""
        return int(self._counts(predictions).sum())

    def progress(self, counted: int, tile: int, n_tiles: int, found: Analysis | None) -> CellsReady:
        """Where the run stands, with the newly found cells."""
        target = self.options.target_cells
        done, total = (counted, target) if target else (tile, n_tiles)
        message = f"{counted} cells counted, field {tile} of {n_tiles}"
        share = max(tile / n_tiles, counted / target if target else 0.0)
        return CellsReady("Classifying cells", done, total, message, found, min(share, 1.0))

    def _analysis(self, cells: Cells, predictions: Predictions) -> Analysis:
        about = self.slide.info, self.bundle.spec, self.regions
        return Analysis(*about, cells, predictions, self.warnings, self.stain_matched)

    def result(self) -> Analysis:
        """Everything accepted so far."""
        members, classes = len(self.bundle.spec.members), len(self.bundle.spec.taxonomy.classes)
        none = Predictions(np.zeros((members, 0, classes), np.float32), np.zeros((0, classes), np.float32))
        return self._analysis(
            Cells.concatenate(self._cells), Predictions.concatenate([none, *self._predictions])
        )


def _batches(cells: Cells, size: int) -> Iterator[Cells]:
    for start in range(0, len(cells), size):
        yield cells.take(slice(start, start + size))


def _overlap(a: Bounds, b: Bounds) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
