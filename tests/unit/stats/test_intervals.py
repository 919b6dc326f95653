"""Intervals are those of scipy and statsmodels, and hold what they say in simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import multinomial_proportions_confint, proportion_confint

from napari_deepheme.stats.intervals import (
    Interval,
    RatioInterval,
    clopper_pearson,
    ratio_interval,
    share_intervals,
    wilson,
)

SHARES = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
COUNTS = st.lists(st.integers(0, 300), min_size=2, max_size=20).filter(lambda counts: sum(counts) > 0)
LEVELS = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@settings(deadline=None)
@given(SHARES, LEVELS)
def test_wilsons_interval_is_that_of_scipy_and_statsmodels(share, level):
    ours = np.array(wilson(*share, level))
    theirs = binomtest(*share).proportion_ci(level, method="wilson")
    np.testing.assert_allclose(ours, [theirs.low, theirs.high], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        ours, proportion_confint(*share, 1 - level, method="wilson"), rtol=0, atol=1e-9
    )


@settings(deadline=None)
@given(SHARES, LEVELS)
def test_the_exact_interval_is_that_of_scipy_and_statsmodels(share, level):
    ours = np.array(clopper_pearson(*share, level))
    theirs = binomtest(*share).proportion_ci(level, method="exact")
    np.testing.assert_allclose(ours, [theirs.low, theirs.high], rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours, proportion_confint(*share, 1 - level, method="beta"), rtol=0, atol=1e-9)


@settings(deadline=None)
@given(COUNTS, LEVELS)
def test_goodmans_simultaneous_intervals_are_those_of_statsmodels(counts, level):
    low, high = share_intervals(counts, Interval.GOODMAN, level)
    theirs = multinomial_proportions_confint(counts, 1 - level, method="goodman")
    np.testing.assert_allclose(np.column_stack([low, high]), theirs, rtol=0, atol=1e-9)


def test_sison_and_glaz_intervals_are_those_of_statsmodels():
    counts = [56, 72, 73, 59, 62, 87, 58]
    low, high = share_intervals(counts, Interval.SISON_GLAZ)
    theirs = multinomial_proportions_confint(counts, 0.05, method="sison-glaz")
    np.testing.assert_allclose(np.column_stack([low, high]), theirs, rtol=0, atol=1e-9)


def test_a_fifth_of_five_hundred_lies_between_the_published_bounds():
    assert [round(100 * float(bound), 1) for bound in wilson(100, 500)] == [16.7, 23.7]
    assert [round(100 * float(bound), 1) for bound in wilson(40, 200)] == [15.0, 26.1]


@pytest.mark.parametrize("interval", Interval)
def test_without_cells_no_interval_is_claimed(interval):
    assert np.isnan(np.array(share_intervals([0, 0, 0], interval))).all()


@settings(deadline=None)
@given(COUNTS, st.sampled_from([Interval.WILSON, Interval.CLOPPER_PEARSON, Interval.GOODMAN]), LEVELS)
def test_an_interval_holds_its_own_share_within_nought_and_one(counts, interval, level):
    low, high = share_intervals(counts, interval, level)
    share = np.array(counts) / sum(counts)
    assert (low <= share + 1e-12).all()
    assert (share <= high + 1e-12).all()
    assert low.min() >= 0
    assert high.max() <= 1


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400), st.sampled_from(list(RatioInterval)))
def test_the_interval_of_a_ratio_holds_the_ratio(top, bottom, method):
    low, high = ratio_interval(top, bottom, method)
    if top + bottom == 0:
        assert np.isnan([low, high]).all()
        return
    ratio = top / bottom if bottom else np.inf
    assert 0 <= low <= high
    assert low <= ratio + 1e-9
    assert ratio <= high + 1e-9


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_turning_a_ratio_over_turns_its_interval_over(top, bottom):
    for method in (RatioInterval.SCORE, RatioInterval.LOG):
        low, high = ratio_interval(top, bottom, method)
        turned = ratio_interval(bottom, top, method)
        np.testing.assert_allclose([1 / high, 1 / low], turned, rtol=1e-9)


def test_a_denominator_that_may_be_nothing_leaves_the_ratio_unbounded():
    assert ratio_interval(30, 0)[1] == np.inf
    assert ratio_interval(30, 2, RatioInterval.FIELLER)[1] == np.inf


@pytest.mark.parametrize("method", RatioInterval)
def test_ratio_intervals_cover_in_simulation(method):
    # M:E of 3 on 500 cells of which a fifth are erythroid
    rng = np.random.default_rng(0)
    counts = rng.multinomial(500, [0.6, 0.2, 0.2], 2000)
    bounds = np.array([ratio_interval(top, bottom, method) for top, bottom, _ in counts])
    covered = ((bounds[:, 0] <= 3) & (bounds[:, 1] >= 3)).mean()
    assert 0.93 <= covered <= 0.97


def test_wilsons_interval_covers_in_simulation_at_every_share_a_class_has():
    rng = np.random.default_rng(1)
    for share in (0.01, 0.05, 0.2, 0.5):
        low, high = wilson(rng.binomial(500, share, 4000), np.full(4000, 500))
        assert 0.93 <= ((low <= share) & (share <= high)).mean() <= 0.97
