"""An analysis made by hand with as many doubtful cells as wanted, on a real slide."""

from __future__ import annotations

import numpy as np

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Analysis, Facts, SlideCalibration
from napari_deepheme.cells import Cells, RawOutputs, Region
from napari_deepheme.detect.base import DetectionThresholds
from napari_deepheme.slide import open_slide
from napari_deepheme.taxonomy import PBC_11


def analysis_of(path, bundle, n=500, doubtful=90):
    """The first ``doubtful`` cells hesitate between two classes, one member for each; the others are sure."""
    with open_slide(path) as slide:
        info = slide.info
    rng = np.random.default_rng(3)
    height, width = info.shape
    k = len(PBC_11.classes)
    first = rng.integers(0, k, n)
    second = (first + 1) % k
    members = np.full((2, n, k), 1e-4, np.float32)
    rows = np.arange(n)
    sure = rows >= doubtful
    members[:, rows, first] = np.where(sure, 0.98, 0.6)
    members[1, rows[~sure], first[~sure]] = 0.35
    members[0, rows[~sure], second[~sure]] = 0.35
    members[1, rows[~sure], second[~sure]] = 0.6
    members /= members.sum(axis=2, keepdims=True)
    yx = np.column_stack([rng.uniform(0, height - 1, n), rng.uniform(0, width - 1, n)])
    score = np.ones(n, np.float32)
    cells = Cells(yx, score * 8, score, np.zeros(n, np.int32))
    whole = Region.box("slide", -0.5, -0.5, height - 0.5, width - 0.5)
    facts = Facts(
        info,
        bundle.spec,
        "stain",
        DetectionThresholds(0.5, 0.5),
        AnalysisOptions(target_cells=0),
        SlideCalibration(),
        (whole,),
    )
    raw = RawOutputs(members.astype(np.float16), np.full(n, np.nan, np.float32))
    return Analysis(facts, np.arange(1, n + 1), cells, raw, {"tile 1": ""})
