"""What one sees of the cells in a real window: outlines that show on any ground, and a legend."""

from __future__ import annotations

import numpy as np
import pytest
from review_cells import analysis_of

from napari_deepheme.export import cells_table
from napari_deepheme.ui.display import ColourBy, Display
from napari_deepheme.ui.layers import Origin
from napari_deepheme.ui.napari_versions import camera_of, markers_of, unwrapped
from napari_deepheme.ui.palette import GLASS, RED_CELLS, contrast
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.views import view_of

pytestmark = pytest.mark.viewer

_GAP = 60


@pytest.fixture
def viewer(make_napari_viewer_proxy, smear_path, toy_bundle):
    """Cells of all classes in a row, on glass above and on red cells below."""
    viewer = make_napari_viewer_proxy(show=True)
    codes = toy_bundle.spec.taxonomy.codes
    k = len(codes)
    ground = np.zeros((4 * _GAP, (k + 1) * _GAP, 3), np.uint8)
    ground[:] = rgb(GLASS)
    ground[2 * _GAP :] = rgb(RED_CELLS)
    viewer.add_image(ground, rgb=True, scale=(0.25, 0.25), units=("um", "um"))
    table = cells_table(analysis_of(smear_path, toy_bundle, 2 * k, 0))
    places = [((1 + 2 * row) * _GAP, (1 + i) * _GAP) for row in range(2) for i in range(k)]
    y, x = np.array(places, float).T
    table = table.assign(label=[*codes, *codes], y_px=y, x_px=x)
    view_of(viewer)
    state = state_of(viewer)
    state.open(Session.of_table(table, Origin(toy_bundle.spec.taxonomy, "a", mpp=(0.25, 0.25)), "cells"))
    state.display = Display(legend=False)
    return viewer


def rgb(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def as_hex(pixel):
    return "#{:02x}{:02x}{:02x}".format(*pixel[:3])


def around(viewer, cell, zoom):
    """The picture of a cell and its surroundings."""
    layer = viewer.layers["cells"]
    camera_of(viewer).center = tuple(layer.data_to_world(layer.data[cell]))
    camera_of(viewer).zoom = zoom
    picture = viewer.screenshot(canvas_only=True, flash=False)
    half = np.array(picture.shape[:2]) // 2
    reach = max(12, round(8 * zoom))
    return picture[half[0] - reach : half[0] + reach, half[1] - reach : half[1] + reach, :3]


@pytest.mark.parametrize("zoom", [0.8, 8.0], ids=["dots from afar", "rings from near"])
def test_every_class_is_seen_on_glass_and_on_red_cells(viewer, zoom):
    state = state_of(viewer)
    for row, label in enumerate(state.table["label"]):
        patch = around(viewer, row, zoom)
        ground = as_hex(patch[0, 0])
        pixels = [as_hex(each) for each in np.unique(patch.reshape(-1, 3), axis=0)]
        assert max(contrast(each, ground) for each in pixels) >= 3, label
        # the class colour itself is there too
        wanted = np.array(rgb(state.taxonomy[label].colour))
        assert np.abs(patch.astype(int) - wanted).max(axis=2).min() <= 12, label
    # from near the cell itself stays to be seen
    middle = np.array(around(viewer, 0, 8.0).shape[:2]) // 2
    assert as_hex(around(viewer, 0, 8.0)[tuple(middle)]) == GLASS


def test_cells_of_a_hidden_class_are_not_drawn(viewer):
    state = state_of(viewer)

    def colours():
        between_others = around(viewer, 2, 8.0)[:, 10:-10]
        return len(np.unique(between_others.reshape(-1, 3), axis=0))

    assert colours() > 1
    state.hide([state.table["label"].iloc[2]])
    assert colours() == 1
    state.hide([])
    assert colours() > 1


def test_single_cells_are_drawn_as_if_all_were(viewer):
    state, layer = state_of(viewer), viewer.layers["cells"]
    ids, codes = state.table["cell_id"].tolist(), state.table["label"].tolist()
    markers = markers_of(unwrapped(viewer), unwrapped(layer))
    state.hide([codes[2]])
    layer.selected_data = {4}
    for name, act in (
        ("one", lambda: state.relabel([ids[4]], codes[0])),
        ("some", lambda: state.relabel(ids[6:9], codes[1])),
        ("accepted", lambda: state.accept([ids[3]])),
        ("moved", lambda: state.move(ids[5], (33, 44))),
        ("of a hidden class until now", lambda: state.relabel([ids[2]], codes[0])),
        ("taken back", state.undo),
    ):
        before = markers._data.copy()
        act()
        drawn = markers._data.copy()
        assert not np.array_equal(drawn, before), name
        layer.refresh()
        np.testing.assert_array_equal(drawn, markers._data)
        seen = viewer.screenshot(canvas_only=True, flash=False)
        layer.visible = False
        layer.visible = True  # the buffer is filled anew as a whole
        np.testing.assert_array_equal(seen, viewer.screenshot(canvas_only=True, flash=False))


def test_the_legend_is_part_of_the_picture_of_the_view(viewer):
    state = state_of(viewer)

    def corner():
        return viewer.screenshot(canvas_only=True, flash=False)[:300, :160, :3].astype(int)

    without = corner()
    state.display = Display()
    by_class = corner()
    for each in state.taxonomy.classes[:3]:
        assert (np.abs(by_class - rgb(each.colour)).max(axis=2) <= 4).sum() > 30, each.code
    state.display = Display(ColourBy.ENTROPY)
    assert not np.array_equal(corner(), by_class)
    state.display = Display(legend=False)
    np.testing.assert_array_equal(corner(), without)
