"""Countable regions and known cells in a real napari window."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt, QThreadPool

from napari_deepheme.fields import judge_fields
from napari_deepheme.jobs import Progress
from napari_deepheme.ui import run
from napari_deepheme.ui.slides import is_fields
from napari_deepheme.ui.where_box import Where

PLUGIN = "napari-deepheme"
PATIENCE_MS = 120_000

pytestmark = pytest.mark.viewer


@pytest.fixture
def dock(make_napari_viewer_proxy, qtbot, toy_bundle_folder, smear_path):
    viewer = make_napari_viewer_proxy()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Classify cells")
    dock.model_box.add(toy_bundle_folder)
    viewer.open(smear_path, plugin=PLUGIN)
    dock.cells_box.setCurrentText("find them by stain")
    yield dock
    dock.cancel()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=PATIENCE_MS)


@pytest.fixture
def click(qtbot, dock):
    def click(button):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    return click


@pytest.fixture
def finish(qtbot, dock, click):
    def finish(button):
        click(button)
        qtbot.waitUntil(lambda: not dock.is_running, timeout=PATIENCE_MS)

    return finish


def test_fields_are_shown_edited_and_counted_in(dock, click, finish):
    viewer, where = dock.slide_box._viewer, dock.where_box
    assert where.chosen is Where.COUNTABLE
    finish(where.show_button)
    layer = where.shapes_combo.layer
    assert is_fields(layer)
    assert where.chosen is Where.SHAPES
    box = where.fields_box
    assert not box.use_button.isEnabled()
    layer.selected_data = set(range(len(layer.data)))
    click(box.leave_button)
    assert box.line.text() == f"0 of {len(layer.data)} fields used"
    click(dock.run_button)
    assert "No field of the layer" in dock.status.text()

    # as napari does it when a person draws a rectangle
    top_left = np.array([400, 300])
    layer.add(top_left + np.array([(0, 0), (0, 500), (500, 500), (500, 0)]), shape_type="rectangle")
    assert box.line.text().startswith("1 of")
    dock.target_spin.setValue(0)
    finish(dock.run_button)
    cells = viewer.layers["smear cells"]
    assert set(cells.features["region"]) == {f"shape {len(layer.data)}"}
    assert ((cells.data >= top_left) & (cells.data <= top_left + 500)).all()
    assert layer in viewer.layers


def test_judging_can_be_cancelled(dock, click, qtbot, monkeypatch):
    def judge_for_ever(slide):
        yield from judge_fields(slide)
        while True:
            yield Progress("Looking at fields", 1, 2)

    monkeypatch.setattr(run, "judge_fields", judge_for_ever)
    click(dock.where_box.show_button)
    assert not dock.where_box.isEnabled()
    qtbot.waitUntil(lambda: "1/2" in dock.progress_line.text(), timeout=PATIENCE_MS)
    click(dock.cancel_button)
    assert not dock.is_running
    assert dock.where_box.isEnabled()
    assert "Cancelled" in dock.status.text()
    assert not any(is_fields(layer) for layer in dock.slide_box._viewer.layers)


def test_the_cells_of_a_layer_can_be_chosen_and_follow_its_name(dock, click):
    viewer, box = dock.slide_box._viewer, dock.cells_box
    entries = lambda: [box.itemText(i) for i in range(box.count())]  # noqa: E731
    assert entries() == ["find them", "find them by stain"]
    marks = viewer.add_points(np.zeros((0, 2)), name="marks")
    viewer.add_labels(np.zeros((5, 5), np.uint8), name="nuclei")
    assert entries()[2:] == ["marks", "nuclei"]
    box.choose(marks)
    assert not dock.target_spin.isEnabled()
    assert "all classified" in dock.target_spin.toolTip()
    marks.name = "my marks"
    assert box.currentText() == "my marks"
    viewer.layers.move(viewer.layers.index(marks), len(viewer.layers))
    assert box.layer == marks
    click(dock.run_button)
    assert "The layer my marks has no cells" in dock.status.text()
    assert not dock.is_running
    viewer.layers.remove(marks)
    assert box.currentText() == "find them"
    assert dock.target_spin.isEnabled()
    box.setCurrentText("find them by stain")
    assert box.detector == "stain"


def test_the_choice_of_cells_outlives_their_replacement_by_the_run(dock, finish):
    viewer, box = dock.slide_box._viewer, dock.cells_box
    dock.target_spin.setValue(0)
    finish(dock.run_button)
    former = viewer.layers["smear cells"]
    box.choose(former)
    finish(dock.run_button)
    newer = viewer.layers["smear cells"]
    assert newer == former  # filled anew in place
    assert box.layer == newer


def test_a_slide_where_nothing_can_be_counted(dock, finish, tmp_path):
    path = tmp_path / "white.tif"
    picture = np.full((1200, 1300, 3), 244, np.uint8)
    per_cm = 10_000 / 0.25
    tifffile.imwrite(
        path, picture, photometric="rgb", resolution=(per_cm, per_cm), resolutionunit="CENTIMETER"
    )
    viewer = dock.slide_box._viewer
    viewer.open(path, plugin=PLUGIN)
    dock.slide_box.combo.setCurrentText("white")
    finish(dock.run_button)
    assert "nothing there can be counted" in dock.status.text().splitlines()[0]
    assert not dock.status.isHidden()
    assert dock.run_button.isEnabled()
    overlay = viewer.layers["white fields"]
    assert not overlay.features["use"].any()
    assert set(overlay.features["kind"]) == {"glass"}
