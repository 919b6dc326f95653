"""A slide and a bundle to an analysis: regions → cells → crops → ensemble, as one job.

torch is imported when a job starts, not with this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analyse.analysis import Analysis, AnalysisOptions, CellsReady
from napari_deepheme.analyse.search import halo_px, read_tile, search, tile_of, tiles_of
from napari_deepheme.cells import Cells, Predictions, Region, first_region
from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.detect.base import Detections
from napari_deepheme.detect.choose import STAIN, named_detector
from napari_deepheme.errors import OptionError
from napari_deepheme.fields import Field, judge_fields, ranked, seen, varied_fields
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.planes import Pixels
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import Tile, crops, prefetch

_SAMPLES, _SAMPLE_CELLS = 16, 256
_FEW_CELLS = 5  # below them one wants to know what the slide shows instead


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
    run.load_networks()
    yield Progress("Looking over the slide")
    run.look_over()
    yield from run.choose_regions()
    counted = 0
    for found in run.searched():
        for batch in _batches(found.cells, options.batch_size):
            part = run.classify(batch, found.region, counted)
            counted += run.counted(part.predictions)
            yield run.progress(counted, found, part)
            if run.is_enough(counted):
                return run.result(found.region)
        if len(found.cells) == 0:
            yield run.progress(counted, found, None)
    yield from run.explain(counted)
    return run.result()


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Cells of one tile, or some of the given ones, and how far the search is."""

    cells: Cells
    region: int
    done: int
    total: int


class _Run:
    """One analysis under way: what was given, and the cells accepted so far."""

    def __init__(self, slide: Slide, bundle: Bundle, options: AnalysisOptions) -> None:
        self.mpp = slide.scale()
        self.slide, self.bundle, self.options = slide, bundle, options
        height, width = slide.info.shape
        self._whole = Region.box("slide", -0.5, -0.5, height - 0.5, width - 0.5)
        self.regions = options.regions or (self._whole,)
        self.fields: tuple[Field, ...] = ()
        self.warnings = (*slide.info.warnings, *self._scale_warning())
        self.stain_matched = False
        self._cells: list[Cells] = []
        self._predictions: list[Predictions] = []

    def load_networks(self) -> None:
        """Import torch and load the members and the detector."""
        from napari_deepheme.classify.ensemble import Ensemble  # noqa: PLC0415  torch takes seconds

        options = self.options
        self.ensemble = Ensemble(self.bundle, options.device, options.precision, options.batch_size)
        # given cells still need somewhere to look at the stain
        name = options.detector if options.cells is None else STAIN
        batch_px = options.batch_size * self.bundle.spec.input_px**2
        self.detector, self.detector_name = named_detector(name, options.device, options.precision, batch_px)
        if options.cells is not None:
            self.detector_name = "given"

    def _scale_warning(self) -> tuple[str, ...]:
        wanted = self.bundle.spec.mpp
        if max(self.mpp) <= 1.3 * wanted:
            return ()
        return (
            f"The slide has {max(self.mpp):.3g} µm/px, the model was trained at {wanted:.3g}: "
            "cells are enlarged for it and calls are less reliable.",
        )

    def look_over(self) -> None:
        """Fit detector and model to windows from the most varied parts of the slide.

        Of the whole slide, so that a cell is found and called the same whatever region is asked for.
        """
        mpp = self.detector.mpp
        fields = varied_fields(self.slide, tiles_of(self.slide, (self._whole,), mpp), _SAMPLES)
        samples = list(prefetch(fields, lambda tile: read_tile(self.slide, tile, mpp)))
        self.detector = self.detector.adapt([image for image, _ in samples])
        spec, options = self.bundle.spec, self.options
        stain = options.match_stain and spec.stain is not None
        mixture = options.match_prior and spec.class_prior is not None
        if not (stain or mixture):
            return
        some = self._some_crops(self._sampled(samples))
        if stain:
            self._match_stain(some)
        if mixture:
            given = options.cells
            self.ensemble.match_prior(some if given is None else self._some_crops(given.yx))

    def _sampled(self, samples: Sequence[tuple[Pixels, NDArray[np.float64]]]) -> NDArray[np.float64]:
        """Centres of the cells in samples, level-0 px."""
        step = self.detector.mpp / np.array(self.mpp)
        found = self.detector.detect([image for image, _ in samples])
        return np.concatenate(
            [origin + each.yx * step for each, (_, origin) in zip(found, samples, strict=True)]
        )

    def _some_crops(self, centres: NDArray[np.float64]) -> Pixels:
        """Crops of some cells that lie on the slide, evenly drawn."""
        inside = centres[first_region((self._whole,), centres) == 0]
        some = inside[np.linspace(0, len(inside) - 1, min(len(inside), _SAMPLE_CELLS)).astype(int)]
        return crops(self.slide, some, self.bundle.spec.input_px, self.bundle.spec.mpp)

    def _match_stain(self, cells: Pixels) -> None:
        self.stain_matched = self.ensemble.match_stain(cells)
        if not self.stain_matched and len(cells):
            self.warnings += (
                "The slide's stain could not be measured (no red cells around its cells): its colours are "
                "shown to the model as they are.",
            )

    def choose_regions(self) -> Job[None]:
        """Where nothing else is asked for and a number of cells is enough: the fields worth counting."""
        options = self.options
        if options.regions or options.cells is not None or not options.target_cells:
            return
        self.fields = yield from judge_fields(self.slide)
        self.regions = tuple(field.region for field in ranked(self.fields))

    def searched(self) -> Iterator[_Found]:
        """The cells, tile by tile; those that were given, a batch at a time."""
        if self.options.cells is not None:
            yield from self._given(self.options.cells)
            return
        tiles = self._field_tiles() if self.fields else self._shuffled_tiles()
        each = search(self.slide, [tile for _, tile in tiles], self.detector)
        for number, ((region, _), found) in enumerate(zip(tiles, each, strict=True), start=1):
            cells = self._of_field(found, region) if self.fields else self._inside(found)
            yield _Found(cells, region, number, len(tiles))

    def _given(self, cells: Cells) -> Iterator[_Found]:
        inside = self._inside(Detections(cells.yx, cells.diameter_um, cells.score))
        if len(inside) < len(cells):
            outside = len(cells) - len(inside)
            height, width = self.slide.info.shape
            sentence = (
                f"{outside} of the {len(cells)} given cells lie outside the "
                f"{'regions' if self.options.regions else f'slide ({height} × {width} px)'}"
            )
            if not len(inside):
                raise OptionError(f"{sentence}; give cells of this slide, in its level-0 pixels.")
            self.warnings += (f"{sentence} and are left out.",)
        size, last = self.options.batch_size, len(self.regions) - 1
        for start in range(0, len(inside), size):
            part = inside.take(slice(start, start + size))
            yield _Found(part, last, start + len(part), len(inside))

    def _field_tiles(self) -> list[tuple[int, Tile]]:
        """A tile for each field, in the order they are to be counted."""
        halo, mpp = halo_px(self.detector), self.detector.mpp
        return [(i, tile_of(self.slide, region, mpp, halo)) for i, region in enumerate(self.regions)]

    def _shuffled_tiles(self) -> list[tuple[int, Tile]]:
        """All tiles that meet a region, in a fixed random order: a count that stops early is spread."""
        tiles = tiles_of(self.slide, self.regions, self.detector.mpp, halo_px=halo_px(self.detector))
        order = np.random.default_rng(0).permutation(len(tiles))
        return [(len(self.regions) - 1, tiles[i]) for i in order]

    def _of_field(self, found: Detections, region: int) -> Cells:
        return Cells(found.yx, found.diameter_um, found.score, np.full(len(found.yx), region, np.int32))

    def _inside(self, found: Detections) -> Cells:
        """Those whose centre lies in a region."""
        region = first_region(self.regions, found.yx)
        return Cells(found.yx, found.diameter_um, found.score, region).take(region >= 0)

    def classify(self, cells: Cells, region: int, counted: int) -> Analysis:
        """Classify one batch, keep it up to the target, and give it as a part of the analysis."""
        spec = self.bundle.spec
        predictions = self.ensemble.predict(crops(self.slide, cells.yx, spec.input_px, spec.mpp))
        if self._target:
            total = counted + np.cumsum(self._counts(predictions))
            end = int(np.searchsorted(total, self._target)) + 1
            cells, predictions = cells.take(slice(0, end)), predictions.take(slice(0, end))
        self._cells.append(cells)
        self._predictions.append(predictions)
        return self._analysis(cells, predictions, region)

    @property
    def _target(self) -> int:
        return 0 if self.options.cells is not None else self.options.target_cells

    def is_enough(self, counted: int) -> bool:
        """Whether the target is reached."""
        return 0 < self._target <= counted

    def _counts(self, predictions: Predictions) -> NDArray[np.bool_]:
        counted = np.array([c.counted for c in self.bundle.spec.taxonomy.classes])
        result: NDArray[np.bool_] = counted[predictions.mean.argmax(axis=1)]
        return result

    def counted(self, predictions: Predictions) -> int:
        """How many of the cells the differential counts."""
        return int(self._counts(predictions).sum())

    def progress(self, counted: int, found: _Found, part: Analysis | None) -> CellsReady:
        """Where the run stands, with the newly classified cells."""
        target = self._target
        done, total = (counted, target) if target else (found.done, found.total)
        what = "cells given" if self.options.cells is not None else "field"
        message = f"{counted} cells counted, {what} {found.done} of {found.total}"
        share = max(found.done / found.total, counted / target if target else 0.0)
        return CellsReady("Classifying cells", done, total, message, part, min(share, 1.0))

    def explain(self, counted: int) -> Job[None]:
        """Say what the slide shows where it holds fewer cells than were to be counted, or hardly any."""
        options = self.options
        found, wanted = sum(map(len, self._cells)), options.target_cells
        enough = counted >= wanted if wanted else found >= _FEW_CELLS
        if options.regions or options.cells is not None or enough:
            return
        asked = f"; {wanted} were asked for" if wanted else ""
        sentences = [f"{found} cells found, {counted} counted{asked}."]
        fields = self.fields or (yield from judge_fields(self.slide))
        if found < _FEW_CELLS or len(self.regions) < len(fields):
            sentences.append(seen(fields))
        if self.fields and len(self.regions) < len(fields):
            sentences.append("To search all of it, ask for the whole slide.")
        self.warnings += (" ".join(sentences),)

    def _analysis(self, cells: Cells, predictions: Predictions, last_region: int) -> Analysis:
        return Analysis(
            self.slide.info,
            self.bundle.spec,
            self.regions[: last_region + 1],
            cells,
            predictions,
            self.warnings,
            self.detector_name,
            self.stain_matched,
            None if self.ensemble.mixture is None else tuple(self.ensemble.mixture.tolist()),
            self.fields,
        )

    def result(self, last_region: int | None = None) -> Analysis:
        """Everything accepted so far, from regions up to the last that was searched."""
        members, classes = len(self.bundle.spec.members), len(self.bundle.spec.taxonomy.classes)
        none = Predictions(np.zeros((members, 0, classes), np.float32), np.zeros((0, classes), np.float32))
        last = len(self.regions) - 1 if last_region is None else last_region
        return self._analysis(
            Cells.concatenate(self._cells), Predictions.concatenate([none, *self._predictions]), last
        )


def _batches(cells: Cells, size: int) -> Iterator[Cells]:
    for start in range(0, len(cells), size):
        yield cells.take(slice(start, start + size))
