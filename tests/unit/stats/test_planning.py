"""How many cells are enough: plans are kept, stop rules keep their promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deepheme.errors import OptionError
from napari_deepheme.stats.intervals import wilson
from napari_deepheme.stats.planning import (
    StopRule,
    cells_for,
    decide,
    effect_of,
    half_width,
    mark,
    more_cells,
)


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(1, 2000))
def test_the_half_width_is_that_of_wilsons_interval(count, n):
    low, high = wilson(min(count, n), n)
    middle = (low + high) / 2
    squared = 1.959963984540054**2
    # of the interval before its ends are brought to 0 and 1
    assert half_width(min(count, n) / n, n) == pytest.approx(
        float(high - low) / 2 if 0 < count < n else float(squared / (n + squared)) / 2, abs=1e-9
    )
    assert 0 <= middle <= 1


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.005, 0.3))
def test_the_planned_number_of_cells_is_the_smallest_that_does(fraction, width):
    n = cells_for(fraction, width)
    assert half_width(fraction, n) <= width + 1e-9
    assert n == 1 or half_width(fraction, n - 1) > width - 1e-9


def test_more_cells_until_five_points_and_none_once_there():
    assert more_cells(10, 100, 0.05) == cells_for(0.1, 0.05) - 100
    assert more_cells(100, 1000, 0.05) == 0
    assert more_cells(10, 100, 0.05, design_effect=2.0) == 2 * cells_for(0.1, 0.05) - 100
    assert more_cells(0, 0, 0.05) == cells_for(0.5, 0.05)


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(20, 2000), st.floats(1, 9))
def test_an_interval_tells_how_many_cells_count_for_one(fraction, n, effect):
    width = half_width(fraction, n / effect)
    assert effect_of(fraction, width, n) == pytest.approx(effect, rel=1e-6)
    assert effect_of(fraction, half_width(fraction, 2 * n), n) == 1


@pytest.mark.parametrize("width", [0.0, -0.1, 0.5, 1.0])
def test_a_precision_nobody_can_have_is_refused(width):
    with pytest.raises(OptionError, match=r"between 0 and 0\.5"):
        cells_for(0.2, width)
    with pytest.raises(OptionError):
        StopRule("M1", width)


@pytest.mark.parametrize(
    ("n", "reached", "to_next"), [(0, 0, 300), (300, 300, 200), (499, 300, 1), (500, 500, 0)]
)
def test_marks_of_icsh(n, reached, to_next):
    assert (mark(n).reached, mark(n).to_next) == (reached, to_next)


def test_a_stop_rule_counts_on_until_its_class_is_known_well_enough():
    rule = StopRule("M1", 0.02, least=100)
    early = decide({"M1": 10, "M6": 190}, rule)
    assert not early.enough
    assert early.more == cells_for(0.05, 0.02) - 200
    assert decide({"M1": 50, "M6": 950}, rule).enough
    assert not decide({"M1": 0, "M6": 50}, StopRule("M1", 0.4)).enough  # the least number comes first
    assert decide({"M1": 0, "M6": 50}, StopRule("M1", 0.02, most=50)).enough
    assert not decide({"M1": 50, "M6": 950}, rule, design_effect=4.0).enough


def test_intervals_at_which_a_stop_rule_ended_still_cover():
    rng = np.random.default_rng(0)
    rule, share, hits = StopRule("M1", 0.02, least=300), 0.06, []
    for _ in range(400):
        count = n = 0
        while not decide({"M1": count, "M6": n - count}, rule).enough:
            count, n = count + int(rng.random(20).__lt__(share).sum()), n + 20
        low, high = wilson(count, n)
        hits.append(low <= share <= high)
    assert 0.93 <= np.mean(hits) <= 0.975
