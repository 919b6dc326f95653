"""The points layer a run fills: on the cells, in their classes' colours, with the table as features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_deepheme.taxonomy import PBC_11
from napari_deepheme.ui.display import Display
from napari_deepheme.ui.layers import (
    Origin,
    cells_layer,
    cells_of,
    fill_cells,
    is_cells,
    origin_of,
    placement,
    rescale,
)


def made(table, origin, **place):
    return Layer.create(*cells_layer(table, origin, "cells", place or None))


def colours_wanted(table):
    return np.array([[int(PBC_11[code].colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in table])


def test_points_lie_on_the_cells_in_class_colours(table, origin):
    layer = made(table, origin)
    np.testing.assert_array_equal(layer.data, table[["y_px", "x_px"]])
    np.testing.assert_allclose(layer.scale, origin.mpp)
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    np.testing.assert_allclose(layer.border_color[:, :3], colours_wanted(table["label"]), atol=1e-6)
    assert is_cells(layer)
    assert origin_of(layer) == origin
    assert "index" not in layer.features


def test_the_features_are_the_table(table, origin):
    pd.testing.assert_frame_equal(cells_of(made(table, origin)), table)


def test_a_slide_without_scale_is_drawn_in_pixels(table):
    layer = made(table, Origin(PBC_11, "a.png"))
    np.testing.assert_array_equal(layer.scale, (1, 1))
    assert {str(unit) for unit in layer.units} == {"pixel"}


def test_cells_follow_an_image_that_was_moved(table, origin):
    image = Image(np.zeros((20, 20, 3), np.uint8), rgb=True, scale=(2, 3), translate=(5, 7), rotate=30)
    layer = made(table, origin, **placement(image))
    for point in layer.data[:3]:
        np.testing.assert_allclose(layer.data_to_world(point), image.data_to_world(point))


@pytest.mark.parametrize("first", [0, 1, 12, 30])
@pytest.mark.parametrize("last", [0, 1, 30])
def test_filling_gives_the_layer_made_at_once(table, origin, first, last):
    whole, filled = made(table.iloc[:last], origin), made(table.iloc[:first], origin)
    viewer = ViewerModel()
    viewer.add_layer(filled)
    for part in (table.iloc[10:20], table.iloc[:last]):
        fill_cells(filled, part.reset_index(drop=True), origin, origin.taxonomy, Display())
    pd.testing.assert_frame_equal(filled.features, whole.features, check_dtype=last > 0)
    for name in ("data", "border_color", "face_color", "symbol", "size", "border_width", "shown"):
        np.testing.assert_array_equal(getattr(filled, name), getattr(whole, name))


def test_cells_to_review_have_another_mark(table, origin):
    layer = made(table.assign(needs_review=[True] + [False] * 29), origin)
    symbols = [str(symbol) for symbol in layer.symbol]
    assert symbols[0] != symbols[1] == symbols[2]


def test_an_edited_label_is_a_persons(table, origin):
    layer = made(table, origin)
    other = next(code for code in PBC_11.codes if code != table["class"][4])
    # as napari's features table does it
    layer.features.iloc[4, layer.features.columns.get_loc("label")] = other
    exported = cells_of(layer)
    assert exported.loc[4, ["label", "label_source"]].tolist() == [other, "person"]
    assert (exported["label_source"] == "person").sum() == 1


def test_the_features_table_offers_the_classes_and_no_others(table, origin):
    layer = made(table, origin)
    assert tuple(layer.features["label"].cat.categories) == PBC_11.codes
    with pytest.raises(TypeError):
        layer.features.loc[0, "label"] = "nonsense"


def test_a_moved_point_is_exported_where_it_is(table, origin):
    layer = made(table, origin)
    layer.data[3] = (100.004, 200)
    exported = cells_of(layer)
    assert exported.loc[3, ["y_px", "x_px", "y_um", "x_um"]].tolist() == [100, 200, 25, 40]
    pd.testing.assert_frame_equal(exported.drop(3), table.drop(3))


def test_rescaling_keeps_pixels_and_moves_micrometres(table, origin):
    layer = made(table, origin)
    rescale(layer, (0.5, 0.5))
    np.testing.assert_allclose(layer.features["x_um"], table["x_px"] * 0.5, atol=6e-4)
    np.testing.assert_allclose(layer.size, 28)
    assert origin_of(layer).mpp == (0.5, 0.5)
