"""An analysis by hand, in units, and a file to keep it in."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_parts import SIGNATURE, unit

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Facts, Notice, NoticeKind, SlideCalibration, UnitResult
from napari_deepheme.cells import Cells, RawOutputs, Region
from napari_deepheme.classify.stain import StainColours
from napari_deepheme.detect.base import DetectionThresholds, DetectorCalibration
from napari_deepheme.fields import Field, FieldKind
from napari_deepheme.slide import SlideInfo
from napari_deepheme.slide.metadata import Level
from napari_deepheme.store.opening import create_analysis


@pytest.fixture
def facts(toy_bundle) -> Facts:
    """Of a slide with three fields, two of which are to be counted, the second first."""
    boxes = [Region.box(f"field {i + 1}", -0.5, 500 * i - 0.5, 999.5, 500 * i + 499.5) for i in range(3)]
    kinds = (FieldKind.GOOD, FieldKind.GOOD, FieldKind.GLASS)
    judged = tuple(Field(b, k, 0.5, "because", 7.0) for b, k in zip(boxes, kinds, strict=True))
    return Facts(
        slide=SlideInfo(
            Path("/data/a.svs"), "Aperio SVS", "Aperio", (1000, 2000), (Level((1000, 2000), (1.0, 1.0)),),
            (0.25, 0.5), "a tag", ("label",), (),
        ),
        bundle=toy_bundle.spec,
        detector="marrow-cells 2",
        thresholds=DetectionThresholds(0.34, 0.22),
        options=AnalysisOptions(target_cells=50),
        calibration=SlideCalibration(
            DetectorCalibration((240.0, 230.0, 220.5), 0.2),
            StainColours(glass=(0.05, 0.1, 0.2), red_cell=(0.2, 0.3, 0.2), nucleus=(1.2, 1.8, 0.5)),
            tuple([1 / 11] * 11),
            0.4,
            True,
        ),
        regions=(boxes[1], boxes[0]),
        fields=judged,
        notices=(Notice(NoticeKind.SCALE, "It is coarse."),),
    )  # fmt: skip


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.deepheme.db"


@pytest.fixture
def file(path, facts):
    """A file with two units, and a third that failed."""
    with create_analysis(path, SIGNATURE) as opened:
        opened.begin(facts)
        for each in (unit("field 2", 5, 1), unit("field 1", 4, 2)):
            opened.commit(each)
        opened.commit(
            UnitResult("field 9", Cells.empty(), RawOutputs.empty(2, 11), "a.svs: tile 7 is damaged")
        )
        yield opened
