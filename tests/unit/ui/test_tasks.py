"""What a finished run leaves in the viewer: cells on top, the fields they were counted in below."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import MagicMock

import pytest

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import CellsReady
from napari_deepheme.cells import Region
from napari_deepheme.errors import SlideError
from napari_deepheme.fields import Field, FieldKind
from napari_deepheme.jobs import Progress, drain
from napari_deepheme.ui.run import Request, SlideFile
from napari_deepheme.ui.slides import is_fields
from napari_deepheme.ui.tasks import ClassifyTask, FieldsTask
from napari_deepheme.ui.views import view_of


def fields(*kinds):
    boxes = (Region.box(f"field {n}", 0, 200 * n, 100, 200 * n + 100) for n in range(len(kinds)))
    score = {FieldKind.GOOD: 0.5}
    return tuple(
        Field(box, kind, score.get(kind, 0.0), "its reason", 12.0)
        for box, kind in zip(boxes, kinds, strict=True)
    )


def test_a_counted_slide_shows_its_fields_below_its_cells(viewer, image, make_analysis, smear_path):
    judged = fields(FieldKind.GOOD, FieldKind.GOOD, FieldKind.GLASS)
    made = make_analysis(path=smear_path)
    facts = replace(made.facts, fields=judged, regions=(judged[0].region,))
    analysis = replace(made, facts=facts, units={"field 0": ""})
    request = Request(SlideFile.of(image), "toy", AnalysisOptions(target_cells=5))
    task = ClassifyTask(view_of(viewer), image, request, "A remark.")
    task.keep(CellsReady("", 30, 500, "", analysis, 0.5))
    text = task.finish(analysis)
    assert "30 found" in text
    assert "Of 3 fields 2 can be counted" in text
    assert text.endswith("A remark.")
    assert [layer.name for layer in viewer.layers] == ["smear", "smear fields", "smear cells"]
    assert viewer.layers.selection.active.name == "smear cells"
    overlay = viewer.layers["smear fields"].features
    assert overlay.loc[overlay["use"], "field"].tolist() == ["field 0"]


def test_where_regions_were_given_no_fields_are_shown(viewer, image, make_analysis, smear_path):
    request = Request(SlideFile.of(image), "toy", AnalysisOptions())
    ClassifyTask(view_of(viewer), image, request).finish(make_analysis(path=smear_path))
    assert not any(is_fields(layer) for layer in viewer.layers)


def test_shown_fields_are_in_hand_and_all_good_ones_used(viewer, image):
    shown = MagicMock()
    task = FieldsTask(viewer, image, SlideFile.of(image), shown)
    text = task.finish(fields(FieldKind.GOOD, FieldKind.THICK))
    layer = viewer.layers["smear fields"]
    shown.assert_called_once_with(layer)
    assert viewer.layers.selection.active is layer
    assert layer.features.set_index("field")["use"].to_dict() == {"field 0": True, "field 1": False}
    assert "1 can be counted" in text
    assert task.line(Progress("Looking", 2, 8)) == "Looking · 2/8"
    assert task.line(Progress("Looking")) == "Looking…"


def test_fields_of_a_real_slide(viewer, image):
    judged = drain(FieldsTask(viewer, image, SlideFile.of(image), MagicMock()).job())
    assert {field.region.name for field in judged}


def test_fields_of_a_layer_that_does_not_show_the_file_are_refused(viewer, image):
    file = replace(SlideFile.of(image), shown_shape=(10, 10))
    with pytest.raises(SlideError, match="open the slide again"):
        drain(FieldsTask(viewer, image, file, MagicMock()).job())
