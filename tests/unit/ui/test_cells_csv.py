"""Saved one way or the other, a cells layer comes back as it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.layers import Layer, Points
from napari_builtins.io import napari_write_points

from napari_deepheme.export import write_csv
from napari_deepheme.ui.cells_csv import get_cells_reader
from napari_deepheme.ui.layers import cells_layer, cells_of, is_cells
from napari_deepheme.ui.writer import write_points


@pytest.fixture
def layer(table, origin):
    return Layer.create(*cells_layer(table, origin, "cells"))


def save_ours(layer, path):
    write_csv(cells_of(layer), path)


def save_layer(layer, path):
    data, attributes, _ = layer.as_layer_data_tuple()
    assert write_points(str(path), data, attributes) == [str(path)]


def save_builtin(layer, path):
    data, attributes, _ = layer.as_layer_data_tuple()
    napari_write_points(str(path), data, attributes)


def save_features(layer, path):
    # the button of napari's features table
    layer.features.to_csv(path)


@pytest.mark.parametrize("save", [save_ours, save_layer, save_builtin, save_features])
def test_a_saved_layer_comes_back(layer, tmp_path, save):
    path = tmp_path / "case 7.cells.csv"
    save(layer, path)
    ((data, options, kind),) = get_cells_reader(str(path))(str(path))
    back = Layer.create(data, options, kind)
    assert is_cells(back)
    np.testing.assert_allclose(back.data, layer.data)
    np.testing.assert_allclose(back.scale, layer.scale, rtol=1e-5)
    np.testing.assert_array_equal(back.border_color, layer.border_color)
    np.testing.assert_array_equal(back.symbol, layer.symbol)
    pd.testing.assert_frame_equal(cells_of(back), cells_of(layer), check_dtype=False)


def test_our_writer_gives_the_columns_of_export(layer, tmp_path):
    save_ours(layer, tmp_path / "a.csv")
    save_layer(layer, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_other_points_are_saved_as_napari_does(tmp_path):
    points = Points([[1.0, 2.0, 3.0]], features={"name": ["a,b"]})
    save_layer(points, tmp_path / "ours.csv")
    save_builtin(points, tmp_path / "napari.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "ours.csv"), pd.read_csv(tmp_path / "napari.csv"))


def test_a_table_without_micrometres_is_drawn_in_pixels(table, tmp_path):
    path = tmp_path / "a.csv"
    write_csv(table.assign(x_um=np.nan, y_um=np.nan), path)
    ((_, options, _),) = get_cells_reader(str(path))(str(path))
    assert options["units"] == ("pixel", "pixel")


def test_other_tables_are_left_to_other_readers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("index,axis-0,axis-1\n0,1,2\n")
    assert get_cells_reader(str(path)) is None
    assert get_cells_reader([]) is None
