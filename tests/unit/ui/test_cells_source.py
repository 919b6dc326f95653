"""Points and labels become cells at the right place of the slide, in the right size."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels, Points

from napari_deepheme.errors import OptionError
from napari_deepheme.ui.cells_source import cells_from


@pytest.fixture
def slide():
    image = np.zeros((400, 600, 3), np.uint8)
    return Image(
        image, rgb=True, name="smear", scale=(0.25, 0.25), units=("um", "um"), metadata={"mpp": (0.25, 0.25)}
    )


def test_points_in_another_frame_land_on_the_slide(slide):
    # in µm, from (10, 20) µm on
    points = Points([[0, 0], [5, 2.5]], size=[8, 12], translate=(10, 20), units=("um", "um"))
    cells, remark = cells_from(points, slide)
    np.testing.assert_allclose(cells.yx, [(40, 80), (60, 90)])
    np.testing.assert_allclose(cells.diameter_um, [8, 12])
    assert cells.score.tolist() == [1, 1]
    assert cells.region.tolist() == [-1, -1]
    assert remark == ""


def test_a_turned_layer_is_followed(slide):
    points = Points([[10, 0]], scale=(0.5, 0.5), rotate=90, translate=(25, 25))
    cells, _ = cells_from(points, slide)
    np.testing.assert_allclose(cells.yx, [slide.world_to_data(points.data_to_world((10, 0)))])


def test_points_of_a_stack_lie_in_its_plane(slide):
    cells, _ = cells_from(Points([[3, 10, 20]], scale=(1, 0.25, 0.25)), slide)
    np.testing.assert_allclose(cells.yx, [(10, 20)])


def test_a_label_is_a_cell_at_its_centroid_with_its_area(slide):
    data = np.zeros((50, 60), np.int32)
    data[10:14, 20:24] = 7
    data[30, 40:43] = 2_000_000_000  # numbers of labels may have gaps
    cells, _ = cells_from(Labels(data, scale=(0.5, 0.5)), slide)
    order = np.argsort(cells.yx[:, 0])
    np.testing.assert_allclose(cells.yx[order], [(23, 43), (60, 82)])
    np.testing.assert_allclose(cells.diameter_um[order], 0.5 * 2 * np.sqrt(np.array([16, 3]) / np.pi))


def test_diameters_are_not_guessed_without_a_scale(slide):
    slide.metadata.clear()
    cells, _ = cells_from(Points([[10, 20]], scale=(0.25, 0.25)), slide)
    assert cells.diameter_um.tolist() == [0]


def test_cells_beside_the_slide_are_left_out_and_told(slide):
    points = Points([[-1, 0], [-0.4, 0], [10, 10], [399.6, 10]], scale=(0.25, 0.25), name="marks")
    cells, remark = cells_from(points, slide)
    assert len(cells) == 2
    assert remark == "Cells of marks beside the slide, left out: 2."


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (Points(name="marks"), "marks has no cells"),
        (Labels(np.zeros((5, 5), np.uint8), name="nuclei"), "nuclei has no cells"),
        (Labels(np.ones((2, 5, 5), np.uint8), name="stack"), "stack has 3 dimensions"),
        (Points([[5000, 5000]], name="marks"), "No cell of the layer marks lies on the slide smear"),
    ],
)
def test_layers_without_cells_are_refused(slide, layer, sentence):
    with pytest.raises(OptionError, match=sentence):
        cells_from(layer, slide)
