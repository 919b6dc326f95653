"""An analysis file with as many cells as wanted, on a slide that is there; made without networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_deepheme import AnalysisOptions, load_bundle, open_slide
from napari_deepheme.analysis.result import Facts, SlideCalibration, UnitResult
from napari_deepheme.cells import Cells, RawOutputs, Region
from napari_deepheme.detect.base import DetectionThresholds
from napari_deepheme.store.opening import create_analysis

_PER_UNIT = 2_000


def many_cells(path: Path, slide_path: Path, n: int) -> None:
    """Write the file; cells lie anywhere on the slide, members agree on nine of ten."""
    bundle = load_bundle()
    with open_slide(slide_path) as slide:
        info = slide.info
    height, width = info.shape
    whole = Region.box("slide", -0.5, -0.5, height - 0.5, width - 0.5)
    options = AnalysisOptions(target_cells=0)
    thresholds = DetectionThresholds(0.5, 0.5)
    facts = Facts(info, bundle.spec, "made", thresholds, options, SlideCalibration(), (whole,))
    rng = np.random.default_rng(0)
    members, classes = len(bundle.spec.members), len(bundle.spec.taxonomy.classes)
    with create_analysis(path, {}) as file:
        file.begin(facts)
        for start in range(0, n, _PER_UNIT):
            some = min(_PER_UNIT, n - start)
            yx = rng.uniform(0, (height, width), (some, 2))
            score = np.ones(some, np.float32)
            cells = Cells(yx, score * 8, score, np.zeros(some, np.int32))
            raw = rng.dirichlet(np.full(classes, 0.05), (some,))
            doubtful = rng.random(some) < 0.1
            raw[doubtful] = rng.dirichlet(np.ones(classes), int(doubtful.sum()))
            each = np.repeat(raw[None], members, axis=0).astype(np.float16)
            distance = rng.uniform(0.5, 1.5, some).astype(np.float32)
            file.commit(UnitResult(f"tile {start}", cells, RawOutputs(each, distance)))
        file.finish(())
