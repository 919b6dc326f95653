import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_deepheme.stats.agreement import Raters, cohen_kappa, compare, fleiss_kappa, judge, macro_f1


def test_kappa_of_cohens_kind_worked_by_hand():
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohen_kappa(first, second, 2) == pytest.approx(0.4)


def test_kappa_of_fleiss_is_that_of_the_published_example():
    # the fourteen raters' worked example: ten subjects, five categories, kappa .210
    votes = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    labels = np.array([np.repeat(np.arange(5), row) for row in votes]).T
    assert fleiss_kappa(labels, 5) == pytest.approx(0.210, abs=5e-4)


def test_cells_a_rater_left_out_are_left_out_not_taken_for_a_class():
    first, second = np.array([0, 1, -1, 2]), np.array([0, 1, 2, -1])
    assert cohen_kappa(first, second, 3) == 1.0
    assert fleiss_kappa(np.stack([first, second]), 3) == 1.0
    assert np.isnan(cohen_kappa(np.array([-1]), np.array([0]), 3))


def test_where_chance_alone_agrees_there_is_no_kappa():
    same = np.zeros(5, int)
    assert np.isnan(cohen_kappa(same, same, 2))
    assert np.isnan(fleiss_kappa(np.stack([same, same]), 2))
    assert np.isnan(fleiss_kappa(same[None], 2))


@given(arrays(np.int64, (2, 15), elements=st.integers(0, 3)))
def test_kappa_does_not_care_who_comes_first_and_stays_in_bounds(labels: np.ndarray):
    forth, back = cohen_kappa(labels[0], labels[1], 4), cohen_kappa(labels[1], labels[0], 4)
    np.testing.assert_allclose(forth, back)
    assert np.isnan(forth) or -1 <= forth <= 1 + 1e-12


def with_errors(truth: np.ndarray, share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(truth)) < share, (truth + 1) % 4, truth)


def test_a_clearly_better_reader_is_found_better_and_an_equal_one_is_not():
    truth = np.arange(400) % 4
    better = compare(truth, with_errors(truth, 0.05, 1), with_errors(truth, 0.3, 2), 4, replicates=300)
    assert better.low > 0
    assert better.p < 0.02
    assert better.value == pytest.approx(0.25, abs=0.06)
    equal = compare(truth, with_errors(truth, 0.2, 3), with_errors(truth, 0.2, 4), 4, replicates=300)
    assert equal.low < 0 < equal.high
    assert equal.p > 0.05


def test_the_same_labels_differ_by_nothing():
    truth = np.arange(40) % 4
    same = compare(truth, truth, truth, 4, replicates=50)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_each_expert_is_judged_on_the_cells_they_labelled_and_the_model_on_the_same():
    truth = np.arange(80) % 4
    model = with_errors(truth, 0.1, 5)
    expert = np.where(np.arange(80) < 40, truth, -1)
    raters = Raters(("A", "B"), np.stack([expert, with_errors(truth, 0.4, 6)]))
    judged = judge(raters, truth, model, ("P", "Q", "R", "S"), replicates=50)
    assert judged.each["A"].n == 40
    assert judged.each["A"].macro_f1 == judged.each["A"].kappa == 1.0
    assert judged.each["A"].model_macro_f1 == pytest.approx(macro_f1(truth[:40], model[:40], 4))
    assert judged.each["A"].difference.value <= 0
    assert judged.each["B"].n == 80
    assert set(judged.each["B"].f1) == {"P", "Q", "R", "S"}
    assert list(judged.cohen_kappa) == ["A – B"]
