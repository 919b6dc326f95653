"""The overlay says which fields were taken and why others were left, and a person's edits of it count."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Shapes

from napari_deepheme.cells import Region
from napari_deepheme.fields import Field, FieldKind
from napari_deepheme.ui.drawn import shape_regions
from napari_deepheme.ui.fields_layer import (
    describe_choice,
    describe_field,
    fields_layer,
    has_edits,
    recolour,
    show_fields,
    use_selected,
)
from napari_deepheme.ui.slides import fields_on, is_fields, set_mpp

SQUARE = np.array([[0, 0], [0, 100], [100, 100], [100, 0]], float)
KINDS = (FieldKind.GOOD, FieldKind.GOOD, FieldKind.THICK, FieldKind.GLASS)


def field(number, kind):
    left = 200 * number
    region = Region.box(f"field {number}", 0, left, 100, left + 100)
    return Field(region, kind, 0.5 if kind is FieldKind.GOOD else 0.0, f"reason {number}", 12.0)


@pytest.fixture
def fields():
    return tuple(field(number, kind) for number, kind in enumerate(KINDS))


def test_the_overlay_says_what_was_taken_and_why_the_rest_was_left(image, fields):
    layer = fields_layer(fields, {"field 0"}, image)
    assert layer.name == "smear fields"
    said = layer.features.set_index("field")
    names = [f"field {number}" for number in range(4)]
    assert said["use"][names].tolist() == [True, False, False, False]
    assert said["kind"][names].tolist() == ["good", "good", "too thick", "glass"]
    assert said["reason"][names].tolist()[2:] == ["reason 2", "reason 3"]
    assert "enough cells without it" in said["reason"]["field 1"]
    assert len(np.unique(layer.edge_color, axis=0)) == 4
    assert (layer.face_color[layer.features["use"], 3] == 0).all()  # its cells stay as they are
    left = ~layer.features["use"].to_numpy()
    assert (layer.face_color[left, 3] > 0).all()  # seen as left even where all neighbours are used
    assert (layer.face_color[left, 3] < 0.2).all()
    assert (layer.edge_color[left, 3] < layer.edge_color[~left, 3]).all()
    np.testing.assert_array_equal(layer.scale, image.scale)
    regions, _ = shape_regions(layer, image)
    assert [region.name for region in regions] == ["field 0"]
    np.testing.assert_allclose(regions[0].bounds, fields[0].region.bounds)


@pytest.mark.parametrize("side", [2_000, 100_000])
def test_outlines_are_thin_beside_a_field_and_seen_on_the_whole_slide(viewer, fields, side):
    image = viewer.add_image(np.broadcast_to(np.zeros(3, np.uint8), (side, side, 3)), rgb=True, name="big")
    width = fields_layer(fields, (), image).edge_width[0]
    assert 0.01 * 100 <= width <= 0.05 * 100


def test_a_slide_without_fields_has_an_empty_overlay_to_draw_on(image):
    layer = fields_layer((), (), image)
    layer.add(SQUARE, shape_type="rectangle")
    regions, _ = shape_regions(layer, image)
    assert [region.name for region in regions] == ["shape 1"]


def test_deleted_drawn_and_copied_fields(image, fields):
    layer = fields_layer(fields, {"field 0", "field 1"}, image)
    layer.selected_data = {0}
    layer.remove_selected()
    layer.add(SQUARE + 300, shape_type="polygon")
    layer.features.loc[len(layer.data) - 1, "field"] = "field 1"  # as a copy of it has
    layer.add(SQUARE + 600, shape_type="ellipse")
    regions, _ = shape_regions(layer, image)
    assert [region.name for region in regions] == ["field 0", "field 1", "shape 4", "shape 5"]
    recolour(layer)
    np.testing.assert_array_equal(layer.edge_color[-1], layer.edge_color[1])


def test_fields_are_used_and_left_by_hand(image, fields):
    layer = fields_layer(fields, {"field 0", "field 1"}, image)
    assert layer.features["field"].tolist() == ["field 2", "field 3", "field 0", "field 1"]
    left, used = layer.edge_color[0].copy(), layer.edge_color[2].copy()
    layer.selected_data = {0, 3}
    assert describe_choice(layer) == "Only the selected count: 2 of 4 fields."
    use_selected(layer, use=True)
    assert describe_choice(layer) == "3 of 4 fields used"
    layer.selected_data = {2}
    use_selected(layer, use=False)
    assert layer.features["use"].tolist() == [True, False, False, True]
    np.testing.assert_array_equal(layer.edge_color[0], used)
    assert not np.array_equal(layer.edge_color[0], left)
    assert layer.face_color[0, 3] == 0 < layer.face_color[2, 3]
    assert [region.name for region in shape_regions(layer, image)[0]] == ["field 2", "field 1"]
    assert layer.feature_defaults["use"][0]


def test_a_selected_field_counts_whatever_else_is_used(image, fields):
    layer = fields_layer(fields, {"field 0"}, image)
    layer.selected_data = {2}
    assert [region.name for region in shape_regions(layer, image)[0]] == ["field 3"]


def test_what_is_known_of_the_field_under_the_cursor(viewer, image, fields):
    layer = show_fields(viewer, image, fields, {"field 0"})
    first = describe_field(layer, layer.data_to_world((50, 50)))
    assert first == "field 0 · used · good · score 0.50: reason 0"
    centre = layer.data_to_world((50, 450))
    assert describe_field(layer, centre) == "field 2 · left · too thick: reason 2"
    layer.add(SQUARE + 800, shape_type="rectangle")
    said = describe_field(layer, layer.data_to_world((850, 850)))
    assert said == "shape 5 · used · drawn: drawn by a person"
    assert not describe_field(layer, layer.data_to_world((1400, 1200)))


def test_the_overlay_lies_under_the_cells_and_leaves_them_selected(viewer, image, fields):
    cells = viewer.add_points(np.zeros((1, 2)), name="smear cells")
    show_fields(viewer, image, fields, ())
    show_fields(viewer, image, fields, {"field 0"})
    assert [layer.name for layer in viewer.layers] == ["smear", "smear fields", "smear cells"]
    assert viewer.layers.selection.active is cells
    assert set(viewer.layers.selection) == {cells}


def edit_move(layer):
    layer.data = [layer.data[0] + 5, *layer.data[1:]]


def edit_delete(layer):
    layer.selected_data = {0}
    layer.remove_selected()


def edit_use(layer):
    layer.selected_data = {3}
    use_selected(layer, use=True)


def edit_name(layer):
    layer.name = "mine"


@pytest.mark.parametrize("edit", [edit_move, edit_delete, edit_use, edit_name])
def test_an_overlay_a_person_edited_is_kept(viewer, image, fields, edit):
    mine = show_fields(viewer, image, fields, ())
    assert not has_edits(mine)
    edit(mine)
    assert has_edits(mine)
    show_fields(viewer, image, fields, ())
    newest = show_fields(viewer, image, fields, ())  # replaces the second, whatever napari named it
    assert fields_on(viewer, image) == [newest, mine]


def test_stating_the_scale_moves_the_overlay_along(viewer, image, fields):
    layer = show_fields(viewer, image, fields, ())
    set_mpp(viewer, image, 0.5)
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))


def test_other_shapes_are_no_fields():
    layer = Shapes([SQUARE])
    assert not is_fields(layer)
    assert describe_choice(layer) == "1 shape drawn"
    layer.selected_data = {0}
    assert describe_choice(layer) == "Only the selected count: 1 of 1 shape."
