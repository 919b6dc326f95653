"""From near the cell stays visible inside its outline; from afar there are dots to see."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_deepheme.ui.appearance import ZoomFollower, look_at
from napari_deepheme.ui.layers import cells_layer, fill_cells


@pytest.mark.parametrize("disc_px", [0.1, 5, 25])
def test_dots_from_afar(disc_px):
    assert look_at(disc_px).fill == 1


@pytest.mark.parametrize("disc_px", [26, 60, 500, 5000])
def test_thin_outlines_from_near(disc_px):
    look = look_at(disc_px)
    assert look.fill == 0
    assert 2 <= look.outline * disc_px <= 5.1


def test_the_look_changes_rarely():
    assert len({look_at(px) for px in np.linspace(30, 50)}) == 1


def test_zooming_restyles_and_cells_that_come_later_look_alike(table, origin):
    viewer = ViewerModel()
    follower = ZoomFollower(viewer)
    data, options, _ = cells_layer(table.iloc[:5], origin, "cells")
    layer = viewer.add_points(data, **options)
    viewer.scene.camera.zoom = 0.1
    assert layer.face_color[:, 3].min() == 1
    viewer.scene.camera.zoom = 20
    assert layer.face_color[:, 3].max() == 0
    fill_cells(layer, table, origin, origin.taxonomy)
    assert layer.face_color[:, 3].max() == 0
    assert len(np.unique(layer.border_width)) == 1
    follower.stop()
    viewer.scene.camera.zoom = 0.1
    assert layer.face_color[:, 3].max() == 0
