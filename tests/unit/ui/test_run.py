"""Results appear as they come, and what comes out at the end is the analysis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copy

import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import CellsReady
from napari_deepheme.analysis.run import analyse
from napari_deepheme.cells import Region
from napari_deepheme.detect.choose import STAIN
from napari_deepheme.errors import AnalysisFileError, ScaleError, SlideError
from napari_deepheme.export import cells_table
from napari_deepheme.fields import Field, FieldKind
from napari_deepheme.jobs import Progress, drain
from napari_deepheme.slide import open_slide
from napari_deepheme.store import open_analysis
from napari_deepheme.ui import run
from napari_deepheme.ui.layers import cells_of, is_cells
from napari_deepheme.ui.run import Request, SlideFile, classify_job, outcome_text, progress_text
from napari_deepheme.ui.slides import set_mpp
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.tasks import ClassifyTask
from napari_deepheme.ui.views import view_of


def request(smear_path, toy_bundle_folder, shape=(1536, 1280), mpp=None):
    file = SlideFile(smear_path, mpp, shape)
    return Request(file, str(toy_bundle_folder), AnalysisOptions(target_cells=0))


def classify(viewer, asked):
    """As the window does it, on one thread."""
    task = ClassifyTask(view_of(viewer), viewer.layers["smear"], asked)

    def on_progress(progress):
        task.keep(progress)
        task.show()

    analysis = drain(task.job(), on_progress)
    text = task.finish(analysis)
    task.ended()
    return analysis, text


@pytest.fixture
def own_smear(smear_path, tmp_path):
    """A copy in a folder where an analysis file can lie."""
    return Path(copy(smear_path, tmp_path / "smear.svs"))


@pytest.fixture
def own_viewer(viewer, own_smear):
    viewer.layers["smear"].metadata["deepheme_slide"] = str(own_smear)
    yield viewer
    state_of(viewer).close()


def test_the_layer_ends_as_the_analysis_and_is_kept_beside_the_slide(
    own_viewer, own_smear, toy_bundle, toy_bundle_folder
):
    asked = request(own_smear, toy_bundle_folder)
    _, text = classify(own_viewer, asked)
    (layer,) = (layer for layer in own_viewer.layers if is_cells(layer))
    with open_slide(own_smear) as slide:
        alone = drain(analyse(slide, toy_bundle, AnalysisOptions(target_cells=0)))
    wanted = cells_table(alone)
    pd.testing.assert_frame_equal(cells_of(layer), wanted)
    pd.testing.assert_frame_equal(state_of(own_viewer).table, wanted)
    with open_analysis(own_smear.with_name("smear.deepheme.db")) as file:
        assert file.finished
        pd.testing.assert_frame_equal(cells_table(file.analysis()), wanted)
    # once more: nothing is computed twice, and nothing is lost of what was corrected
    state = state_of(own_viewer)
    state.relabel([1], "L2")
    state.options = replace(state.options, detection_threshold=0.27, review_threshold=0.4)
    repeated, again = classify(own_viewer, asked)
    assert state.options == repeated.facts.options.assessment
    assert (state.options.detection_threshold, state.options.review_threshold) == (0.27, 0.4)
    assert len(state.sessions) == 1
    assert again == text
    assert state.table["label"][0] == "L2"
    assert [each for each in own_viewer.layers if is_cells(each)] == [layer]


def test_an_analysis_gone_on_with_knows_where_the_slide_lies_now(own_viewer, own_smear, toy_bundle_folder):
    classify(own_viewer, request(own_smear, toy_bundle_folder))
    state_of(own_viewer).close()
    moved = own_smear.rename(own_smear.with_name("moved.svs"))
    (file,) = own_smear.parent.glob("*.deepheme.db")
    file.rename(file.with_name("moved.deepheme.db"))
    own_viewer.layers["smear"].metadata["deepheme_slide"] = str(moved)
    classify(own_viewer, request(moved, toy_bundle_folder))
    assert state_of(own_viewer).session.slide == moved


def test_a_place_that_cannot_be_written_is_said(own_viewer, own_smear, toy_bundle_folder, monkeypatch):
    def refuse(*_, **__):
        raise AnalysisFileError("its disk is full.")

    monkeypatch.setattr(run, "continued", refuse)
    analysis, text = classify(own_viewer, request(own_smear, toy_bundle_folder))
    assert "Kept in memory only" in text
    assert "its disk is full." in text
    state = state_of(own_viewer)
    assert state.file is None
    assert len(state.table) == len(analysis.counting().ids)
    state.delete([1])
    state.undo()
    pd.testing.assert_frame_equal(state.table, cells_table(analysis))


def show(viewer, analysis):
    task = ClassifyTask(
        view_of(viewer),
        viewer.layers["smear"],
        Request(SlideFile.of(viewer.layers["smear"]), "toy", AnalysisOptions()),
    )
    task.keep(CellsReady("", 0, 0, "", analysis))
    task.show()
    return viewer.layers[-1]


def test_a_second_run_takes_the_layer_of_the_first(viewer, make_analysis, smear_path):
    first = show(viewer, make_analysis(path=smear_path))
    second = show(viewer, make_analysis(path=smear_path, n=5))
    assert second is first
    assert len(second.data) == 5
    assert len(state_of(viewer).sessions) == 1


def test_work_of_a_person_is_never_replaced(viewer, make_analysis, smear_path):
    renamed = show(viewer, make_analysis(path=smear_path))
    renamed.name = "mine"
    moved = show(viewer, make_analysis(path=smear_path))
    moved.data[3] = (5, 6)
    moved.events.data(value=moved.data, action="changed", data_indices=(3,), vertex_indices=((),))
    show(viewer, make_analysis(path=smear_path, n=5))
    assert sorted(len(layer.data) for layer in viewer.layers if is_cells(layer)) == [5, 30, 30]


def test_stating_the_scale_moves_image_and_cells_alike(viewer, make_analysis, smear_path):
    cells = show(viewer, make_analysis(path=smear_path))
    image = viewer.layers["smear"]
    set_mpp(viewer, image, 0.5)
    np.testing.assert_array_equal(image.scale, (0.5, 0.5))
    np.testing.assert_array_equal(cells.scale, (0.5, 0.5))
    np.testing.assert_allclose(cells_of(cells)["y_um"], cells.data[:, 0] * 0.5, atol=6e-4)


def test_a_layer_that_does_not_show_the_file_is_refused(smear_path, toy_bundle_folder):
    with pytest.raises(SlideError, match="open the slide again"):
        drain(classify_job(request(smear_path, toy_bundle_folder, shape=(768, 640))))


def test_an_impossible_scale_is_refused(smear_path, toy_bundle_folder):
    with pytest.raises(ScaleError):
        drain(classify_job(request(smear_path, toy_bundle_folder, mpp=25.0)))


@pytest.mark.parametrize(
    ("progress", "cells", "seconds", "counting", "text"),
    [
        (Progress("Loading the model"), 0, 0, True, "Loading the model…"),
        (CellsReady("", 0, 500), 0, 1, True, "0/500"),
        # of fields looked at, not of cells counted
        (Progress("Looking at fields", 12, 48), 0, 0, True, "Looking at fields · 12/48"),
        (CellsReady("", 250, 500, share=0.5), 300, 3, True, "250/500 · 100 cells/s · 0:03 left"),
        # a slide that ends before the target is reached ends soon all the same
        (CellsReady("", 5, 500, share=0.9), 300, 9, True, "5/500 · 33 cells/s · 0:01 left"),
        (
            CellsReady("", 12, 48, share=0.25),
            600,
            60,
            False,
            "field 12/48 · 600 cells · 10 cells/s · 3:00 left",
        ),
    ],
)
def test_progress_in_words(progress, cells, seconds, counting, text):
    assert progress_text(progress, cells, seconds, counting=counting) == text


def with_facts(analysis, **changes):
    return replace(analysis, facts=replace(analysis.facts, **changes))


def test_outcome_in_words(make_analysis):
    assert outcome_text(make_analysis(), target=3).endswith("of 30 found.")
    assert "fewer than the 500" in outcome_text(make_analysis(), target=500)
    assert "No cells" in outcome_text(make_analysis(n=0), target=0)
    cells = make_analysis().cells
    given = with_facts(make_analysis(), options=AnalysisOptions(cells=cells))
    assert outcome_text(given, target=0).endswith("of 30 given.")


def test_a_count_in_chosen_fields_says_how_many_it_took(make_analysis):
    boxes = [Region.box(f"field {n}", 0, 0, 9, 9) for n in range(3)]
    judged = tuple(Field(box, FieldKind.GOOD, 0.5, "", 12.0) for box in boxes)
    analysis = with_facts(make_analysis(), fields=judged, regions=tuple(boxes))
    two = replace(analysis, units={"field 0": "", "field 1": ""})
    assert outcome_text(two, target=3).endswith("of 30 found, in 2 fields.")
    assert outcome_text(replace(analysis, units={"field 0": ""}), target=3).endswith("in 1 field.")


def test_a_slide_without_anything_to_count_says_so_first_and_once(tmp_path, toy_bundle_folder):
    path = tmp_path / "white.tif"
    tifffile.imwrite(path, np.full((1200, 1300, 3), 244, np.uint8), photometric="rgb")
    options = AnalysisOptions(target_cells=500, detector=STAIN)
    asked = Request(SlideFile(path, 0.25, (1200, 1300)), str(toy_bundle_folder), options)
    first, *others = outcome_text(drain(classify_job(asked)), 500).splitlines()
    assert "nothing there can be counted" in first
    assert not any("cells" in line and "found" in line for line in others)
    assert all(line.startswith("⚠") for line in others)
