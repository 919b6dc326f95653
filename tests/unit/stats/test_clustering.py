"""Cells of one field resemble each other: intervals over fields stay honest where those of cells do not."""

import numpy as np
import pytest

from napari_deepheme.stats.clustering import (
    clustered_intervals,
    counts_by_field,
    design_effects,
    field_variation,
    over_fields,
    overall_design_effect,
)
from napari_deepheme.stats.intervals import Interval, wilson

MIX = np.array([0.5, 0.3, 0.15, 0.05])
ALIKE = 12.0  # concentration of the fields' own mixes: the smaller, the more a field differs


def smear(rng: np.random.Generator, fields: int = 25, cells: int = 20, alike: float = ALIKE) -> np.ndarray:
    mixes = rng.dirichlet(alike * MIX, fields)
    return np.stack([rng.multinomial(cells, mix) for mix in mixes]).astype(float)


def test_cells_are_counted_field_by_field_and_those_not_counted_left_out():
    table = counts_by_field(np.array([7, 7, 3, 3, 3]), np.array([0, 1, 1, -1, 1]), 2)
    np.testing.assert_array_equal(table, [[0, 2], [1, 1]])


def test_the_design_effect_is_that_of_the_overdispersion():
    # Dirichlet-multinomial: 1 + (m - 1) / (alike + 1) with m cells a field
    rng = np.random.default_rng(0)
    found = np.mean([overall_design_effect(smear(rng)) for _ in range(300)])
    assert found == pytest.approx(1 + 19 / (ALIKE + 1), rel=0.08)


def test_fields_without_structure_have_a_design_effect_of_one():
    rng = np.random.default_rng(1)
    found = np.mean([design_effects(rng.multinomial(20, MIX, 25).astype(float)) for _ in range(300)], axis=0)
    np.testing.assert_allclose(found, 1, atol=0.08)


def test_one_field_alone_tells_nothing_of_the_others():
    assert np.isnan(design_effects(np.array([[3.0, 4.0]]))).all()
    low, high = over_fields(lambda counts: counts[..., :1], np.array([[3.0, 4.0]]))
    assert np.isnan([low, high]).all()


def test_intervals_over_fields_cover_where_those_of_cells_do_not():
    rng = np.random.default_rng(2)
    hits, plain = [], []
    for _ in range(600):
        counts = smear(rng)
        low, high = clustered_intervals(counts)
        hits.append((low <= MIX) & (high >= MIX))
        low, high = wilson(counts.sum(axis=0), np.full(4, counts.sum()))
        plain.append((low <= MIX) & (high >= MIX))
    assert 0.93 <= np.mean(hits) <= 0.97
    assert np.mean(plain) < 0.88


def test_the_bootstrap_of_a_ratio_over_fields_covers():
    rng = np.random.default_rng(3)

    def ratio(counts: np.ndarray) -> np.ndarray:
        return (counts[..., 0] / counts[..., 1])[..., None]

    hits = []
    for i in range(400):
        low, high = over_fields(ratio, smear(rng), replicates=500, seed=i)
        hits.append(low[0] <= MIX[0] / MIX[1] <= high[0])
    assert 0.93 <= np.mean(hits) <= 0.975


def test_variation_between_fields_is_measured_beyond_chance():
    rng = np.random.default_rng(4)
    real = field_variation(smear(rng, fields=400))
    assert real.p < 1e-6
    np.testing.assert_allclose(real.between, np.sqrt(MIX * (1 - MIX) / (ALIKE + 1)), rtol=0.2)
    p = [field_variation(rng.multinomial(20, MIX, 25)).p for _ in range(300)]
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.09


@pytest.mark.parametrize("interval", [Interval.GOODMAN, Interval.SISON_GLAZ])
def test_intervals_of_all_classes_at_once_hold_over_fields_too(interval):
    rng, together, alone = np.random.default_rng(7), [], []
    for _ in range(300):
        counts = smear(rng)
        for kind, held in ((interval, together), (Interval.WILSON, alone)):
            low, high = clustered_intervals(counts, kind)
            held.append(((low <= MIX) & (high >= MIX)).all())
    assert np.mean(together) >= 0.93 > np.mean(alone)


def test_exact_intervals_over_fields_are_wider_than_wilsons():
    counts = smear(np.random.default_rng(8))
    exact, score = (clustered_intervals(counts, kind) for kind in (Interval.CLOPPER_PEARSON, Interval.WILSON))
    assert (exact[1] - exact[0] > score[1] - score[0]).all()
