import numpy as np
import pytest

from napari_deepheme.stats import calibration


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def overconfident(rng: np.random.Generator, n: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from p, and members that state p to the power of ``sharpness``."""
    p = rng.dirichlet(np.full(4, 0.7), n) + 1e-4
    p /= p.sum(axis=1, keepdims=True)
    truth = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    stated = p**sharpness
    return (stated / stated.sum(axis=1, keepdims=True))[None].astype(np.float32), truth


def test_the_temperature_undoes_a_known_overconfidence(rng):
    members, truth = overconfident(rng, 6000, sharpness=2.0)
    assert calibration.fit_temperature(members, truth) == pytest.approx(2.0, rel=0.08)


def test_pooling_averages_before_the_temperature():
    members = np.array([[[0.9, 0.1]], [[0.5, 0.5]]], np.float32)
    np.testing.assert_allclose(calibration.pool(members, 1.0), [[0.7, 0.3]], atol=1e-6)
    softened = calibration.pool(members, 2.0)
    expected = np.sqrt([0.7, 0.3]) / np.sqrt([0.7, 0.3]).sum()
    np.testing.assert_allclose(softened[0], expected, atol=1e-6)


def test_calibration_error_of_the_right_probabilities_is_near_zero_and_of_wrong_ones_is_not(rng):
    members, truth = overconfident(rng, 8000, sharpness=1.0)
    assert calibration.expected_calibration_error(members[0], truth) < 0.02
    members, truth = overconfident(rng, 8000, sharpness=3.0)
    assert calibration.expected_calibration_error(members[0], truth) > 0.08


def test_conformal_sets_cover_new_cells_as_promised(rng):
    members, truth = overconfident(rng, 8000, sharpness=2.0)
    half, other = members[0][:4000], members[0][4000:]
    threshold = calibration.conformal_threshold(half, truth[:4000], coverage=0.9)
    covered = other[np.arange(4000), truth[4000:]] >= threshold
    assert covered.mean() == pytest.approx(0.9, abs=0.02)


def test_accepted_cells_err_no_more_than_the_risk(rng):
    entropies = rng.uniform(0, 2, 20000)
    correct = rng.random(20000) > entropies / 4  # the error grows from 0 to one half
    threshold = calibration.review_threshold(entropies[:10000], correct[:10000], risk=0.1, confidence=0.9)
    accepted = entropies[10000:] <= threshold
    assert 0.5 < threshold < 1.0
    assert 1 - correct[10000:][accepted].mean() <= 0.1


def test_nothing_is_accepted_where_nothing_can_be_vouched_for(rng):
    entropies = rng.uniform(0, 2, 500)
    assert calibration.review_threshold(entropies, np.zeros(500, bool), risk=0.05, confidence=0.9) == 0.0
    assert calibration.review_threshold(entropies[:5], np.ones(5, bool), risk=0.05, confidence=0.9) == 0.0
