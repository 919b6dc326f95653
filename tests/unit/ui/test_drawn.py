"""What a person points at becomes level-0 pixels of the slide, wherever the layers lie."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_deepheme.errors import OptionError
from napari_deepheme.ui.drawn import image_shape, shape_regions, view_region

SQUARE = np.array([[0, 0], [0, 10], [10, 10], [10, 0]], float)


@pytest.fixture
def slide():
    levels = [np.zeros((400, 600, 3), np.uint8), np.zeros((200, 300, 3), np.uint8)]
    return Image(levels, rgb=True, multiscale=True, scale=(0.25, 0.25), units=("um", "um"))


def test_the_view_is_what_the_canvas_shows(slide):
    region = view_region(slide, (0, 50, 75), zoom=4.0, canvas_px=(100, 200))
    # 25 x 50 um round (50, 75) um
    np.testing.assert_allclose(region.bounds, (150, 200, 250, 400))


def test_a_view_beside_the_slide_is_refused(slide):
    with pytest.raises(OptionError, match="no part of the slide"):
        view_region(slide, (0, -500, 75), zoom=4.0, canvas_px=(100, 200))


def test_shapes_in_another_frame_land_on_the_slide(slide):
    shapes = Shapes([SQUARE], shape_type="rectangle", scale=(0.5, 2), translate=(10, 20))
    (region,), ignored = shape_regions(shapes, slide)
    np.testing.assert_allclose(region.bounds, (40, 80, 60, 160))
    assert (region.name, ignored) == ("shape 1", 0)


def test_selected_shapes_go_before_all(slide):
    shapes = Shapes([SQUARE, SQUARE + 20], shape_type="polygon", scale=(0.25, 0.25))
    assert len(shape_regions(shapes, slide)[0]) == 2
    shapes.selected_data = {1}
    (region,), _ = shape_regions(shapes, slide)
    assert region.name == "shape 2"
    np.testing.assert_allclose(region.bounds, (20, 20, 30, 30))


def test_an_ellipse_keeps_its_area_and_lines_are_left_out(slide):
    shapes = Shapes(scale=(0.25, 0.25))
    shapes.add_ellipses(SQUARE * (4, 8))
    shapes.add_lines(SQUARE[:2])
    shapes.add_paths(SQUARE)
    (region,), ignored = shape_regions(shapes, slide)
    assert ignored == 2
    y, x = region.outline.T
    area = 0.5 * abs(np.dot(y, np.roll(x, 1)) - np.dot(x, np.roll(y, 1)))
    assert area == pytest.approx(np.pi * 20 * 40, rel=0.01)
    np.testing.assert_allclose(region.bounds, (0, 0, 40, 80), atol=1e-9)


def test_size_is_that_of_the_finest_level(slide):
    assert image_shape(slide) == (400, 600)
    assert image_shape(Image(np.zeros((5, 7, 3), np.uint8), rgb=True)) == (5, 7)


def test_shapes_being_drawn_all_count_though_napari_selects_the_last(slide):
    shapes = Shapes(scale=(0.25, 0.25))
    shapes.mode = "add_rectangle"
    for offset in (0, 20):
        shapes.add(SQUARE + offset, shape_type="rectangle")
    shapes.selected_data = {1}
    assert len(shape_regions(shapes, slide)[0]) == 2
