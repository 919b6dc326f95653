"""The marked cell and clicks that add cells, in a viewer without a window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_deepheme.ui.napari_versions import camera_of
from napari_deepheme.ui.review.adding import AddByClick
from napari_deepheme.ui.review.marker import Marker


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def slide(viewer):
    return viewer.add_image(np.zeros((200, 300, 3), np.uint8), rgb=True, scale=(0.5, 0.5), translate=(10, 20))


def test_the_camera_goes_to_the_cell_and_a_point_marks_it(viewer, slide):
    viewer.layers.selection = {slide}
    camera_of(viewer).zoom = 0.01
    marker = Marker(viewer)
    marker.show((100.0, 50.0), slide, 0.5)
    assert camera_of(viewer).center[-2:] == (60.0, 45.0)
    assert camera_of(viewer).zoom > 1  # come near: the cell would be a speck
    np.testing.assert_allclose(marker.layer.data_to_world(marker.layer.data[0]), (60, 45))
    assert viewer.layers.selection == {slide}
    first = marker.layer
    marker.show((10.0, 10.0), slide, 0.5)
    assert marker.layer is first
    assert first.data.tolist() == [[10.0, 10.0]]
    marker.show(None, slide, 0.5)
    assert len(first.data) == 0


def test_a_marker_that_was_deleted_is_made_again(viewer, slide):
    marker = Marker(viewer)
    marker.show((1.0, 1.0), slide, 0.5)
    viewer.layers.remove(marker.layer)
    assert marker.layer is None
    marker.show((2.0, 2.0), slide, 0.5)
    assert marker.layer.data.tolist() == [[2.0, 2.0]]


def press(viewer, world, moves=()):
    """A press, moves by so many screen pixels, and the release."""
    event = SimpleNamespace(type="mouse_press", position=world, pos=(50.0, 50.0))
    callback = viewer.mouse_drag_callbacks[-1]  # napari has its own before
    running = callback(viewer, event)
    next(running)
    for by in moves:
        event.type, event.pos = "mouse_move", (50.0 + by, 50.0)
        next(running)
    event.type = "mouse_release"
    assert next(running, "over") == "over"


def test_a_click_adds_a_cell_and_a_drag_does_not(viewer, slide):
    added = []
    others = list(viewer.mouse_drag_callbacks)
    adding = AddByClick(viewer, lambda: slide, added.append)
    adding.switch(True)
    press(viewer, (60.0, 45.0))
    press(viewer, (60.0, 45.0), moves=(1, 2))  # an unsteady hand
    assert added == [(100.0, 50.0), (100.0, 50.0)]
    press(viewer, (60.0, 45.0), moves=(3, 30))
    press(viewer, (0.0, 0.0))  # beside the slide
    assert len(added) == 2
    adding.switch(False)
    assert not adding.is_on
    assert viewer.mouse_drag_callbacks == others
