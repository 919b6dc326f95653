"""An analysis made by hand: what the docks show, without networks or a slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Analysis, Facts, SlideCalibration
from napari_deepheme.cells import Cells, RawOutputs, Region
from napari_deepheme.detect.base import DetectionThresholds
from napari_deepheme.export import cells_table
from napari_deepheme.slide import SlideInfo
from napari_deepheme.taxonomy import PBC_11
from napari_deepheme.ui import opening, run
from napari_deepheme.ui.layers import Origin

MPP = (0.25, 0.2)


def made(bundle, n, mpp, path):
    rng = np.random.default_rng(0)
    members = rng.dirichlet(np.full(11, 0.2), (2, n)).astype(np.float16)
    info = SlideInfo(path, "Aperio SVS", "Aperio", (4000, 6000), (), mpp, "a tag", (), ())
    yx = rng.uniform(0, (4000, 6000), (n, 2))
    score = np.ones(n, np.float32)
    cells = Cells(yx, score * 8, score, np.zeros(n, np.int32))
    whole = Region.box("slide", -0.5, -0.5, 3999.5, 5999.5)
    facts = Facts(
        info,
        bundle.spec,
        "stain",
        DetectionThresholds(0.5, 0.5),
        AnalysisOptions(target_cells=0),
        SlideCalibration(),
        (whole,),
    )
    raw = RawOutputs(members, np.full(n, np.nan, np.float32))
    return Analysis(facts, np.arange(1, n + 1), cells, raw, {"tile 1": ""})


@pytest.fixture
def make_analysis(toy_bundle):
    return lambda n=30, mpp=MPP, path=Path("case 7.svs"): made(toy_bundle, n, mpp, path)


@pytest.fixture
def analysis(make_analysis):
    return make_analysis()


@pytest.fixture
def table(analysis):
    return cells_table(analysis)


@pytest.fixture
def origin():
    return Origin(PBC_11, "case 7.svs", "toy 1", MPP)


@pytest.fixture
def viewer(smear_path):
    viewer = ViewerModel()
    metadata = {"deepheme_slide": str(smear_path), "mpp": (0.25, 0.25), "mpp_source": "a tag"}
    image = np.zeros((1536, 1280, 3), np.uint8)
    viewer.add_image(image, rgb=True, name="smear", scale=(0.25, 0.25), units=("um", "um"), metadata=metadata)
    return viewer


@pytest.fixture
def image(viewer):
    return viewer.layers["smear"]


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    """Slides of the session lie in one folder: the analyses of each test are kept apart."""
    monkeypatch.setattr(run, "analysis_folder", lambda _: tmp_path)
    monkeypatch.setattr(opening, "analysis_folder", lambda _: tmp_path)
