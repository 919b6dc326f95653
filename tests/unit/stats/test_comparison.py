"""Two methods that measure the same percentages: published examples, other libraries, properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from napari_deepheme.stats.comparison import (
    bland_altman,
    deming,
    difference_interval,
    passing_bablok,
    rumke_limits,
    within_tolerance,
)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 400), st.integers(0, 400))
def test_the_interval_of_a_difference_is_newcombes(n, m, a, b):
    a, b = min(a, n), min(b, m)
    _, low, high = difference_interval(a, n, b, m)
    theirs = confint_proportions_2indep(b, m, a, n, method="newcomb", compare="diff")
    np.testing.assert_allclose([low, high], theirs, atol=1e-9)


def test_differences_cover_in_simulation():
    rng = np.random.default_rng(0)
    a, b = rng.binomial(500, 0.2, 4000), rng.binomial(200, 0.25, 4000)
    _, low, high = difference_interval(a, 500, b, 200)
    assert 0.93 <= ((low <= 0.05) & (high >= 0.05)).mean() <= 0.97


def test_limits_of_a_manual_count_are_rumkes():
    # of his table: 10 % of 100 cells lie between 4 and 18 %, of 200 between 6 and 15 %
    low, high = rumke_limits([0.1], 100)
    assert (int(100 * low[0]), int(np.ceil(100 * high[0]))) == (4, 18)
    low, high = rumke_limits([0.1], 200)
    assert (int(100 * low[0]), int(np.ceil(100 * high[0]))) == (6, 16)


def test_limits_of_agreement_hold_the_differences_they_should():
    rng = np.random.default_rng(1)
    x = rng.normal(20, 5, 4000)
    found = bland_altman(x, x + rng.normal(1, 2, 4000))
    assert found.bias == pytest.approx(1, abs=0.1)
    assert (found.low, found.high) == pytest.approx((1 - 3.92, 1 + 3.92), abs=0.2)
    assert found.bias_interval[0] < found.bias < found.bias_interval[1]
    assert np.isnan(bland_altman([1.0], [2.0]).bias)


@pytest.mark.parametrize("method", [passing_bablok, deming])
def test_a_line_without_noise_is_found(method):
    x = np.array([1.0, 4.0, 9.0, 16.0, 30.0, 2.0])
    found = method(x, 2 + 1.5 * x)
    assert (found.slope, found.intercept) == pytest.approx((1.5, 2.0))


@pytest.mark.parametrize("method", [passing_bablok, deming])
def test_lines_cover_the_true_slope_when_both_values_have_errors(method):
    rng, hits = np.random.default_rng(2), []
    for _ in range(300):
        truth = rng.uniform(0, 40, 30)
        found = method(truth + rng.normal(0, 2, 30), truth + rng.normal(0, 2, 30))
        hits.append(found.slope_interval[0] <= 1 <= found.slope_interval[1])
    assert 0.92 <= np.mean(hits) <= 0.98


def test_one_wild_entry_moves_the_median_of_slopes_little():
    rng = np.random.default_rng(3)
    x = np.arange(20.0)
    y = x + rng.normal(0, 0.1, 20)
    y[3] = 90
    assert passing_bablok(x, y).slope == pytest.approx(1, abs=0.05)
    assert abs(deming(x, y).slope - 1) > 0.1


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 60)), min_size=4, max_size=15, unique=True))
def test_turning_the_methods_over_turns_the_line_over(pairs):
    x, y = np.round(np.array(pairs).T, 2)
    found, turned = deming(x, y), deming(y, x)
    if np.isfinite(found.slope) and abs(found.slope) > 1e-6:
        assert turned.slope == pytest.approx(1 / found.slope, rel=1e-4)


def test_what_is_called_agreement():
    assert within_tolerance([0.02, 0.5, 0.5, 0.1], [0.04, 0.6, 0.61, 0.13]).tolist() == [
        True,
        True,
        False,
        False,
    ]
