"""The outlines of fields stay narrow on the screen."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Shapes

from napari_deepheme.ui.appearance import ZoomFollower
from napari_deepheme.ui.layer_keys import LayerKey
from napari_deepheme.ui.napari_versions import camera_of

BOX = np.array([[0, 0], [0, 900], [900, 900], [900, 0]])


def width_px(layer, viewer):
    return layer.edge_width[0] * layer.scale[-1] * camera_of(viewer).zoom


@pytest.mark.parametrize("zoom", [0.01, 0.3, 1, 7, 40])
def test_outlines_of_fields_keep_their_width_on_the_screen(zoom):
    viewer = ViewerModel()
    follower = ZoomFollower(viewer)
    layer = Shapes([BOX], scale=(0.25, 0.25), edge_width=3, metadata={LayerKey.FIELDS: {}})
    viewer.add_layer(layer)
    camera_of(viewer).zoom = zoom
    assert 2 <= width_px(layer, viewer) <= 4
    follower.stop()
    camera_of(viewer).zoom = 100 * zoom
    assert width_px(layer, viewer) > 100


def test_other_shapes_are_left_alone():
    viewer = ViewerModel()
    layer = viewer.add_shapes([BOX], edge_width=3)
    follower = ZoomFollower(viewer)
    camera_of(viewer).zoom = 40
    assert layer.edge_width == [3]
    follower.stop()
