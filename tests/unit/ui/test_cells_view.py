"""The points layer shows the state, and what a person does to it with napari's tools is a correction."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

from napari_deepheme.analysis.corrections import CorrectionKind
from napari_deepheme.ui.display import ColourBy, Display, class_colours
from napari_deepheme.ui.layers import cells_layer
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.views import view_of


@pytest.fixture
def viewer(analysis):
    viewer = ViewerModel()
    view_of(viewer)
    state_of(viewer).open(Session.of_analysis(analysis, "cells"))
    return viewer


@pytest.fixture
def state(viewer):
    return state_of(viewer)


@pytest.fixture
def layer(viewer):
    return viewer.layers["cells"]


def agrees(layer, state):
    table = state.table
    assert layer.features["cell_id"].tolist() == table["cell_id"].tolist()
    assert layer.features["label"].astype(object).fillna("").tolist() == table["label"].tolist()
    np.testing.assert_allclose(layer.data, table[["y_px", "x_px"]])
    known = table["label"] != ""
    wanted = [class_colours(state.taxonomy)[code][:3] for code in table["label"][known]]
    np.testing.assert_allclose(layer.border_color[known][:, :3], wanted, atol=1e-6)
    assert len(layer.shown) == len(layer.symbol) == len(layer.size) == len(table)


def other(state, row):
    return next(code for code in ("L2", "MO2") if code != state.table["label"][row])


def test_every_edit_of_the_state_shows(layer, state):
    agrees(layer, state)
    for act in (
        lambda: state.relabel([3, 4], "L2"),
        lambda: state.relabel([5], "M1"),  # no class of the model
        lambda: state.move(6, (1, 2)),
        lambda: state.delete([1, 30]),
        lambda: state.add((7, 8), "L2"),
        lambda: state.add((9, 8)),
        state.undo,
        state.undo,
        state.redo,
    ):
        act()
        agrees(layer, state)
    assert state.viewer.layers[-1] is layer


def test_a_label_edited_in_the_features_table_is_a_correction(viewer, layer, state):
    code = other(state, 4)
    layer.features.iloc[4, layer.features.columns.get_loc("label")] = code
    view_of(viewer).take_edits()
    assert [(each.kind, each.cell, each.label) for each in state.session.corrections] == [
        (CorrectionKind.LABEL, 5, code)
    ]
    agrees(layer, state)


def test_points_added_moved_and_deleted_with_naparis_tools(layer, state):
    layer.add((12, 34))
    assert state.table["cell_id"].tolist()[-1] == -1
    assert state.table["label"].tolist()[-1] == ""
    assert np.isnan(state.table["confidence"].to_numpy()[-1])
    agrees(layer, state)
    layer.data[2] = (100, 100)  # as napari's mouse does it: in place, then it tells
    layer.events.data(value=layer.data, action="changed", data_indices=(2,), vertex_indices=((),))
    agrees(layer, state)
    layer.selected_data = {0, 3}
    layer.remove_selected()
    agrees(layer, state)
    kinds = [each.kind for each in state.session.corrections]
    assert kinds == [CorrectionKind.ADD, CorrectionKind.MOVE, CorrectionKind.DELETE, CorrectionKind.DELETE]
    for _ in range(3):
        state.undo()
    assert len(layer.data) == 30
    agrees(layer, state)


def test_what_is_no_edit_of_a_cell_is_put_right(layer, state):
    layer.data = np.zeros((0, 2))
    agrees(layer, state)
    assert not state.session.corrections


def test_hidden_classes_stay_in_the_layer(layer, state):
    code = state.table["label"][0]
    state.hide([code])
    np.testing.assert_array_equal(layer.shown, state.table["label"] != code)
    state.relabel([2], code)
    assert not layer.shown[1]
    state.hide([])
    assert layer.shown.all()


def test_a_table_that_was_read_is_taken_in_hand_and_can_be_corrected(viewer, state, table, origin):
    data, options, _ = cells_layer(table, origin, "read")
    read = viewer.add_points(data, **options)
    assert state.session.name == "read"
    assert state.analysis is None
    state.relabel([1], "L2")
    cell = state.add((1, 2))
    agrees(read, state)
    state.undo()
    assert cell not in state.table["cell_id"].tolist()
    agrees(read, state)
    viewer.layers.selection.active = viewer.layers["cells"]
    assert state.session.name == "cells"


def test_the_colours_follow_what_they_are_to_say_and_so_does_a_relabelled_cell(viewer, layer, state):
    state.display = Display(ColourBy.ENTROPY)
    least, most = np.argsort(state.table["entropy"].to_numpy())[[0, -1]]
    assert layer.face_color[most, :3].sum() > layer.face_color[least, :3].sum()
    before = layer.face_color.copy()
    state.relabel([int(state.table["cell_id"][0])], other(state, 0))
    np.testing.assert_array_equal(layer.face_color, before)
    state.display = Display()
    agrees(layer, state)


def test_an_analysis_in_memory_comes_back_when_its_layer_is_removed_and_goes_the_second_time(
    viewer, layer, state
):
    slide = viewer.add_image(np.zeros((4, 4)))
    state.relabel([1], other(state, 0))
    viewer.layers.remove(layer)
    assert "in memory alone" in notification_manager.records[-1].message
    again = viewer.layers["cells"]
    agrees(again, state)
    viewer.layers.remove(again)
    assert state.session is None
    assert list(viewer.layers) == [slide]
