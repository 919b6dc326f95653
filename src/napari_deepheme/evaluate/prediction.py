"""Images of single cells through a model. torch is imported when a model runs, not with this module."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.cells import RawOutputs
from napari_deepheme.classify.bundle import BundleSpec
from napari_deepheme.classify.cascade import Settling
from napari_deepheme.classify.stain import stain_colours
from napari_deepheme.datasets.folders import check_mpp, crop_or_fault
from napari_deepheme.errors import SlideError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.tiles import prefetch

if TYPE_CHECKING:
    from napari_deepheme.classify.ensemble import Ensemble

_STAIN_CELLS = 128


@dataclass(frozen=True, slots=True, eq=False)
class PredictedImages:
    """Raw outputs of those of some images that could be read, and why the others could not.

    ``kept`` are the indices of the former; ``stain_matched`` says whether all were shown to the model in the
    colours it was trained on.
    """

    raw: RawOutputs
    kept: tuple[int, ...]
    faults: tuple[str, ...]
    stain_matched: bool


def predict_images(
    paths: list[Path],
    mpp: float,
    ensemble: Ensemble,
    spec: BundleSpec,
    *,
    match_stain: bool,
    settling: Settling | None = None,
) -> Job[PredictedImages]:
    """Classify images of single cells of one slide; with ``settling`` as a cascade does.

    Raises
    ------
    ScaleError
        ``mpp`` is implausible.
    SlideError
        No image can be read.
    """
    check_mpp(mpp)
    matchable = match_stain and spec.matches_stain
    stain = stain_colours(_some_crops(paths, mpp, spec)) if matchable else None
    batch: list[NDArray[np.uint8]] = []
    parts: list[RawOutputs] = []
    kept: list[int] = []
    faults: list[str] = []
    with closing(prefetch(paths, lambda path: crop_or_fault(path, mpp, spec), ahead=8)) as crops:
        for i, crop in enumerate(crops):
            if isinstance(crop, str):
                faults.append(crop)
            else:
                kept.append(i)
                batch.append(crop)
            if batch and (len(batch) == ensemble.full_batch or i == len(paths) - 1):
                parts.append(ensemble.run(np.stack(batch), stain, settling))
                batch.clear()
                yield Progress("Classifying images", i + 1, len(paths))
    if batch:
        parts.append(ensemble.run(np.stack(batch), stain, settling))
    if not parts:
        raise SlideError(f"None of {len(paths)} images can be read: {faults[0]}")
    return PredictedImages(RawOutputs.concatenate(parts), tuple(kept), tuple(faults), stain is not None)


def _some_crops(paths: list[Path], mpp: float, spec: BundleSpec) -> NDArray[np.uint8]:
    """Crops of images from all over the list, those that can be read."""
    step = max(1, len(paths) // _STAIN_CELLS)
    found = [crop_or_fault(path, mpp, spec) for path in paths[::step]]
    crops = [crop for crop in found if not isinstance(crop, str)]
    return np.array(crops, np.uint8).reshape(-1, spec.input_px, spec.input_px, 3)
