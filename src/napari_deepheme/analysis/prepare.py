"""What has to be known of a slide before its cells are searched: its calibration, and what to analyse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.locate import read_tile, tiles_of
from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Facts, Notice, NoticeKind, SlideCalibration
from napari_deepheme.cells import Region, first_region
from napari_deepheme.classify.bundle import calibration_content
from napari_deepheme.classify.stain import StainColours, stain_colours
from napari_deepheme.detect.base import Detections, DetectionThresholds, Detector
from napari_deepheme.errors import DamagedTileError, OptionError
from napari_deepheme.fields import Field, judge_fields, ranked, varied_fields
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.planes import Pixels
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import Tile, crops, prefetch
from napari_deepheme.stats.assessment import calibrated
from napari_deepheme.stats.prior import class_prior

_SAMPLES, _SAMPLE_CELLS = 16, 256
_COARSE = 1.3  # of the model's µm/px: beyond it cells are enlarged for the model
_TOUCHING = 1.1  # of the mean diameter: cells whose centres are nearer touch
_CROWDED, _FEWEST_CELLS = 0.25, 20


def prepare(slide: Slide, engine: Engine, options: AnalysisOptions) -> Job[Facts]:
    """Measure a slide on cells from all over it, and choose the fields to count if that is asked for.

    The calibration does not depend on the regions, so that a cell is found and called the same whatever part
    of the slide is asked for.

    Raises
    ------
    ScaleError
        The slide's µm/px is not known.
    OptionError
        Cells are given and none of them lies on the slide, or in its regions.
    """
    yield Progress("Looking over the slide")
    outside = _outside(slide, options)
    detector = engine.detector(options)
    calibration, notices = _calibrate(slide, engine, detector, options)
    fields: tuple[Field, ...] = ()
    regions = options.regions or (whole(slide),)
    if options.by_fields:
        fields = yield from judge_fields(slide)
        regions = tuple(field.region for field in ranked(fields))
    return Facts(
        slide=slide.info,
        bundle=engine.bundle.spec,
        detector="" if options.cells is not None else detector.name,
        thresholds=DetectionThresholds(0.0, 0.0) if options.cells is not None else detector.thresholds,
        options=options,
        calibration=calibration,
        regions=regions,
        fields=fields,
        notices=(*_about(slide, engine), *outside, *notices),
        calibration_cells=calibration_content(engine.bundle),
    )


def calibration_for(slide: Slide, engine: Engine, options: AnalysisOptions) -> SlideCalibration:
    """The calibration of a slide for another model than the one it was analysed with."""
    return _calibrate(slide, engine, engine.detector(options), options)[0]


def whole(slide: Slide) -> Region:
    """All of a slide as a region."""
    height, width = slide.info.shape
    return Region.box("slide", -0.5, -0.5, height - 0.5, width - 0.5)


def crowding(found: Detections, mpp: tuple[float, float]) -> float:
    """Share of cells that touch another one, 0 to 1; positions in pixels of ``mpp`` (y, x) µm."""
    if len(found.yx) < 2:
        return 0.0
    tree = cKDTree(found.yx * np.array(mpp))
    reach = _TOUCHING * float(found.diameter_um.max())
    pairs = tree.sparse_distance_matrix(tree, reach, output_type="ndarray")
    first, second = pairs["i"], pairs["j"]
    near = pairs["v"] < _TOUCHING * (found.diameter_um[first] + found.diameter_um[second]) / 2
    return len(np.unique(first[near & (first != second)])) / len(found.yx)


def _about(slide: Slide, engine: Engine) -> list[Notice]:
    """What the slide itself gives reason to say."""
    notices = [Notice(NoticeKind.SLIDE, text) for text in slide.info.warnings]
    mpp, wanted = max(slide.scale()), engine.bundle.spec.mpp
    if mpp > _COARSE * wanted:
        text = (
            f"The slide has {mpp:.3g} µm/px, the model was trained at {wanted:.3g}: cells are enlarged for "
            "it and calls are less reliable."
        )
        notices.append(Notice(NoticeKind.SCALE, text))
    return notices


def _outside(slide: Slide, options: AnalysisOptions) -> list[Notice]:
    """Given cells that lie beside the slide or its regions."""
    if options.cells is None:
        return []
    n = len(options.cells)
    inside = int((first_region(options.regions or (whole(slide),), options.cells.yx) >= 0).sum())
    if inside == n:
        return []
    height, width = slide.info.shape
    sentence = (
        f"{n - inside} of the {n} given cells lie outside the "
        f"{'regions' if options.regions else f'slide ({height} × {width} px)'}"
    )
    if not inside:
        raise OptionError(f"{sentence}; give cells of this slide, in its level-0 pixels.")
    return [Notice(NoticeKind.OUTSIDE, f"{sentence} and are left out.")]


def _calibrate(
    slide: Slide, engine: Engine, detector: Detector, options: AnalysisOptions
) -> tuple[SlideCalibration, list[Notice]]:
    samples = _samples(slide, detector)
    images = [image for image, _ in samples]
    measured = detector.calibrate(images)
    found = _sampled(slide, detector, detector.detect(images, measured), samples)
    touching = crowding(found, slide.scale())
    spec, notices = engine.bundle.spec, list[Notice]()
    matchable = options.match_stain and spec.matches_stain
    stain, prior = None, None
    if matchable or spec.class_prior is not None:
        pixels = _some_crops(slide, engine, found.yx)
        stain = stain_colours(pixels) if matchable else None
        if matchable and stain is None and len(pixels):
            text = (
                "The slide's stain could not be measured (no red cells around its cells): its colours are "
                "shown to the model as they are."
            )
            notices.append(Notice(NoticeKind.STAIN, text))
        if options.cells is not None:
            pixels = _some_crops(slide, engine, options.cells.yx)
        prior = _prior(engine, pixels, stain)
    crowded = touching >= _CROWDED and len(found.yx) >= _FEWEST_CELLS
    return SlideCalibration(measured, stain, prior, touching, crowded), notices


def _samples(slide: Slide, detector: Detector) -> list[tuple[Pixels, NDArray[np.float64]]]:
    """Pixels and origins of windows from the most varied parts of the slide; damaged ones are left out."""

    def read(tile: Tile) -> tuple[Pixels, NDArray[np.float64]] | None:
        try:
            return read_tile(slide, tile, detector.mpp)
        except DamagedTileError:
            return None

    tiles = tiles_of(slide, (whole(slide),), detector.mpp)
    windows = prefetch(varied_fields(slide, tiles, _SAMPLES), read)
    return [window for window in windows if window is not None]


def _sampled(
    slide: Slide,
    detector: Detector,
    found: Sequence[Detections],
    samples: Sequence[tuple[Pixels, NDArray[np.float64]]],
) -> Detections:
    """The cells of the samples, centres in level-0 pixels."""
    step = detector.mpp / np.array(slide.scale())
    kept = [each.above(detector.thresholds.film) for each in found]
    if not kept:
        return Detections(np.zeros((0, 2)), np.zeros(0, np.float32), np.zeros(0, np.float32))
    placed = [each.placed(origin, step) for each, (_, origin) in zip(kept, samples, strict=True)]
    return Detections(
        np.concatenate([each.yx for each in placed]),
        np.concatenate([each.diameter_um for each in placed]),
        np.concatenate([each.score for each in placed]),
    )


def _some_crops(slide: Slide, engine: Engine, centres: NDArray[np.float64]) -> Pixels:
    """Crops of some cells that lie on the slide, evenly drawn; none where its file is damaged."""
    spec = engine.bundle.spec
    inside = centres[first_region((whole(slide),), centres) == 0]
    some = inside[np.linspace(0, len(inside) - 1, min(len(inside), _SAMPLE_CELLS)).astype(int)]
    try:
        return crops(slide, some, spec.input_px, spec.mpp)
    except DamagedTileError:
        readable = [each for each in some if _is_readable(slide, each, spec.input_px, spec.mpp)]
        return crops(slide, np.array(readable).reshape(-1, 2), spec.input_px, spec.mpp)


def _is_readable(slide: Slide, centre: NDArray[np.float64], px: int, mpp: float) -> bool:
    try:
        slide.read((float(centre[0]), float(centre[1])), (px, px), mpp)
    except DamagedTileError:
        return False
    return True


def _prior(engine: Engine, pixels: Pixels, stain: StainColours | None) -> tuple[float, ...] | None:
    """Class prior of the slide, estimated on some of its cells; None if the model's own is not known.

    For shares of classes, one look at many cells is worth more than the whole ensemble's at a few, and a
    person waits for it.
    """
    spec = engine.bundle.spec
    if spec.class_prior is None or not len(pixels):
        return None
    probabilities = calibrated(engine.ensemble.at_a_glance(pixels, stain), spec.calibration)
    return tuple(class_prior(probabilities, np.array(spec.class_prior)).tolist())
