"""Colours and shapes of cells say what they are asked to say."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points

from napari_deepheme.taxonomy import DEEPHEME_23, PBC_11, Lineage
from napari_deepheme.ui.display import (
    LINEAGE_SYMBOLS,
    ColourBy,
    Display,
    cell_colours,
    cell_symbols,
    rgba_of,
    scale_of,
)
from napari_deepheme.ui.legend import draw, legend_of, pixels_of
from napari_deepheme.ui.session import Session

NUMBERS = [each for each in ColourBy if each is not ColourBy.CLASS]


def test_classes_have_their_colours_and_an_unnamed_cell_is_grey(table):
    table = table.assign(label=["", *table["label"][1:]])
    rgba = cell_colours(table, PBC_11, ColourBy.CLASS)
    wanted = [rgba_of(PBC_11[code].colour) for code in table["label"][1:]]
    np.testing.assert_array_equal(rgba[1:], wanted)
    np.testing.assert_array_equal(rgba[0], rgba_of("#8c8c8c"))


@pytest.mark.parametrize("by", NUMBERS)
def test_numbers_have_a_scale_and_what_is_unknown_is_grey(table, by):
    values = np.linspace(0.01, 0.9, len(table))
    values[3] = np.nan
    table = table.assign(**{by.column: values})
    rgba = cell_colours(table, PBC_11, by)
    np.testing.assert_array_equal(rgba[3], rgba_of("#8c8c8c"))
    lightness = np.delete(rgba[:, :3].sum(axis=1), 3)
    assert lightness[-1] > lightness[0]
    scale = scale_of(table, by)
    assert scale.low == 0
    assert scale.high >= 0.8
    # some of the cells are coloured as they are among all
    part = cell_colours(table.iloc[5:8], PBC_11, by, scale)
    np.testing.assert_array_equal(part, rgba[5:8])


def test_a_table_without_the_number_is_grey_throughout(table):
    rgba = cell_colours(table.drop(columns="ood_distance"), PBC_11, ColourBy.DISTANCE)
    np.testing.assert_array_equal(rgba, np.tile(rgba_of("#8c8c8c"), (len(table), 1)))


def test_each_lineage_has_a_shape_of_its_own_that_napari_draws(table):
    assert set(LINEAGE_SYMBOLS) == set(Lineage)
    assert len(set(LINEAGE_SYMBOLS.values())) == len(Lineage)
    table = table.assign(label=["M3", "ER2", "L4"] * 10)
    symbols = cell_symbols(table, DEEPHEME_23, Display(lineage_shapes=True))
    layer = Points(table[["y_px", "x_px"]], symbol=symbols)
    assert [str(each) for each in layer.symbol[:3]] == ["disc", "triangle_up", "arrow"]


def test_the_legend_names_what_is_shown_and_nothing_else(analysis):
    session = Session.of_analysis(analysis, "cells")
    used = dict.fromkeys(session.table["label"])
    first = next(iter(used))
    legend = legend_of(session, Display(), frozenset([first]))
    names = {PBC_11[code].name for code in used if code != first}
    assert {each.text for each in legend.entries} - {"to review"} == names
    by_number = legend_of(session, Display(ColourBy.ENTROPY))
    assert by_number.title == "entropy"
    assert by_number.scale == scale_of(session.table, ColourBy.ENTROPY)
    shapes = legend_of(session, Display(ColourBy.ENTROPY, lineage_shapes=True))
    assert {each.text for each in shapes.entries} == {PBC_11[code].lineage.value for code in used}


def test_the_legend_is_drawn_in_the_colours_of_the_classes(analysis, qapp):
    session = Session.of_analysis(analysis, "cells")
    legend = legend_of(session, Display())
    pixels = pixels_of(draw(legend, 2)).reshape(-1, 4)
    for each in legend.entries:
        wanted = (rgba_of(each.colour) * 255).round().astype(int)
        assert (np.abs(pixels - wanted).max(axis=1) <= 1).sum() > 40, each
    assert draw(legend_of(session, Display(), frozenset(PBC_11.codes))).isNull()
