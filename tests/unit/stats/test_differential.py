import numpy as np
import pytest

from napari_deepheme.errors import TaxonomyError
from napari_deepheme.stats.differential import Differential
from napari_deepheme.taxonomy import PBC_11


def test_the_interval_of_twenty_per_cent_of_five_hundred_is_the_published_one():
    labels = ["M6"] * 100 + ["L2"] * 400 + ["U1"] * 30
    count = Differential.of(labels, np.zeros(530), PBC_11)
    row = next(row for row in count.rows if row.cell_class.code == "M6")
    assert (count.n_cells, count.n_counted) == (530, 500)
    assert row.fraction == 0.2
    assert (round(100 * row.low, 1), round(100 * row.high, 1)) == (16.7, 23.7)


def test_artefacts_are_reported_but_not_counted():
    table = Differential.of(["M6", "U1"], np.array([0.1, 0.9]), PBC_11).table().set_index("class")
    assert table.loc["U1", "count"] == 1
    assert np.isnan(table.loc["U1", "fraction"])
    assert table.loc["M6", "fraction"] == 1.0
    assert table.loc["U1", "mean_entropy"] == 0.9


def test_shares_of_counted_classes_sum_to_one():
    rng = np.random.default_rng(0)
    labels = rng.choice(PBC_11.codes, 700).tolist()
    table = Differential.of(labels, rng.random(700), PBC_11).table()
    assert table["fraction"].sum() == pytest.approx(1.0, abs=1e-3)
    assert table["count"].sum() == 700


def test_no_cells_give_no_percentages_and_no_crash():
    count = Differential.of([], np.zeros(0), PBC_11)
    assert count.n_counted == 0
    assert all(np.isnan(row.fraction) for row in count.rows)


def test_a_label_outside_the_taxonomy_is_an_error_not_a_lost_cell():
    with pytest.raises(TaxonomyError, match="M1"):
        Differential.of(["M1"], np.zeros(1), PBC_11)
