"""Shares with the confusion taken out: as QuaPy computes them, with intervals that hold its error."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deepheme.errors import BundleError
from napari_deepheme.stats.adjustment import bias_factors, confusion_of, expectation_maximisation, invert
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.intervals import wilson
from napari_deepheme.stats.quantify import Method, QuantifyOptions, quantify

CODES = ("A", "B", "C", "D")
CORRECTED = (Method.ACC, Method.PACC, Method.EM)


def cells(truth: np.ndarray, rng: np.random.Generator, apart: float = 1.6) -> np.ndarray:
    """Probabilities of cells of known class that hold for classes equally frequent."""
    k = len(CODES)
    seen = rng.normal(size=(len(truth), k)) + apart * np.eye(k)[truth]
    odds = np.exp(apart * (seen - seen.max(axis=1, keepdims=True)))
    return odds / odds.sum(axis=1, keepdims=True)


def calibration(rng: np.random.Generator, n: int = 800, apart: float = 1.6) -> CalibrationSet:
    truth = np.arange(n) % len(CODES)
    far = np.full(n, np.nan, np.float32)
    return CalibrationSet(cells(truth, rng, apart).astype(np.float32), truth, far)


def slide(rng: np.random.Generator, shares: np.ndarray, n: int = 500) -> np.ndarray:
    return cells(rng.choice(len(CODES), n, p=shares), rng)


SHARES = np.array([0.7, 0.2, 0.08, 0.02])


@pytest.fixture(scope="module")
def referee():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it imports is not ours to mend
        from quapy.method.aggregative import ACC, EMQ  # noqa: PLC0415
    return ACC, EMQ


@pytest.mark.parametrize("sharpness", [1.0, 8.0])
def test_factors_are_those_that_plain_scaling_comes_to(sharpness):
    """Rows to one and columns to the shares, by turns (Sinkhorn), a long time; probabilities far off, too."""
    rng = np.random.default_rng(3)
    p = np.exp(sharpness * rng.normal(size=(300, 5)))
    p = np.maximum(p / p.sum(axis=1, keepdims=True), 1e-12)
    prior = rng.dirichlet(np.full(5, 3.0), 4)
    weights = rng.multinomial(300, np.full(300, 1 / 300), 4).astype(float)
    factors = bias_factors(p, prior, weights)
    plain = np.ones((4, 5))
    for _ in range(5000):
        plain *= prior * 300 / (plain * ((weights / (plain @ p.T)) @ p))
    assert factors == pytest.approx(plain / plain.mean(axis=1, keepdims=True), rel=2e-3)
    for each, share, w in zip(factors, prior, weights, strict=True):
        q = p * each
        assert w @ (q / q.sum(axis=1, keepdims=True)) / 300 == pytest.approx(share, rel=2e-5)


def test_expectation_maximisation_is_quapys(referee):
    rng, prior = np.random.default_rng(0), np.full(4, 0.25)
    found = slide(rng, SHARES)
    ours = expectation_maximisation(found, prior[None])[0]
    theirs, _ = referee[1].EM(prior, found, epsilon=1e-7)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


@pytest.mark.parametrize("soft", [False, True])
def test_inverted_confusions_are_quapys(referee, soft):
    rng = np.random.default_rng(1)
    known, found = calibration(rng), slide(rng, SHARES)
    said, seen = known.probabilities.astype(float), found
    if not soft:
        said, seen = np.eye(4)[said.argmax(axis=1)], np.eye(4)[seen.argmax(axis=1)]
    confusion, observed = confusion_of(known.truth, said), seen.mean(axis=0)
    theirs = referee[0].solve_adjustment(confusion, observed, method="inversion", solver="minimize")
    np.testing.assert_allclose(invert(confusion, observed), theirs, atol=2e-3)


@pytest.mark.parametrize("method", CORRECTED)
def test_corrected_shares_are_nearer_the_truth_than_counting(method):
    rng = np.random.default_rng(2)
    known, options = calibration(rng), QuantifyOptions(CODES, replicates=20)
    errors = {Method.COUNT: [], method: []}
    for _ in range(20):
        found = slide(rng, SHARES)
        for each, list_ in errors.items():
            list_.append(np.abs(quantify(found, known, each, options).fractions - SHARES).mean())
    assert np.mean(errors[method]) < 0.7 * np.mean(errors[Method.COUNT])


@pytest.mark.parametrize("method", Method)
def test_intervals_of_every_method_cover_and_those_of_sampling_alone_do_not(method):
    rng = np.random.default_rng(3)
    hits, alone = [], []
    for i in range(60):
        known, options = calibration(rng, 400), QuantifyOptions(CODES, replicates=150, seed=i)
        shares = rng.dirichlet(np.ones(4))
        found = slide(rng, shares)
        result = quantify(found, known, method, options)
        hits.append((result.low <= shares) & (shares <= result.high))
        low, high = wilson(np.bincount(found.argmax(axis=1), minlength=4), np.full(4, len(found)))
        alone.append((low <= shares) & (shares <= high))
    assert np.mean(hits) >= 0.9
    assert np.mean(alone) < 0.75


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(list(Method)), st.integers(0, 2**20))
def test_fractions_sum_to_one_within_their_intervals_in_any_order_of_the_cells(method, seed):
    rng = np.random.default_rng(seed)
    found, known = slide(rng, rng.dirichlet(np.ones(4)), 60), calibration(rng, 200)
    options = QuantifyOptions(CODES, np.array([True, True, True, False]), replicates=10)
    result = quantify(found, known, method, options)
    if result.refusal:
        return
    counted = result.fractions[:3]
    assert counted.sum() == pytest.approx(1)
    assert np.isnan(result.fractions[3])
    assert (result.low[:3] <= counted + 1e-9).all()
    assert (counted <= result.high[:3] + 1e-9).all()
    again = quantify(found[rng.permutation(60)], known, method, options)
    np.testing.assert_allclose(again.fractions, result.fractions, atol=1e-4)


def test_classes_that_are_called_alike_are_refused_by_name():
    rng = np.random.default_rng(4)
    known = calibration(rng)
    blurred = known.probabilities.copy()
    blurred[:, [1, 2]] = blurred[:, [1, 2]].mean(axis=1, keepdims=True)
    alike = CalibrationSet(blurred, known.truth, known.distance)
    cells_of = slide(rng, SHARES)
    for method in (Method.PROBABILISTIC, Method.PACC):
        found = quantify(cells_of, alike, method, QuantifyOptions(CODES))
        assert "B and C are called nearly alike" in found.refusal
        assert np.isnan(found.fractions).all()
        assert found.by_code(CODES) is None


def test_a_class_whose_confusion_nobody_measured_is_refused_once_it_is_called():
    rng = np.random.default_rng(5)
    known = calibration(rng)
    without = known.take(known.truth != 3)
    found = quantify(slide(rng, SHARES), without, Method.EM, QuantifyOptions(CODES))
    assert "called D" in found.refusal
    # not so when it does not count, as artefacts
    options = QuantifyOptions(CODES, np.array([True, True, True, False]), replicates=10)
    assert quantify(slide(rng, SHARES), without, Method.EM, options).refusal == ""


def test_no_cells_are_refused():
    found = quantify(
        np.zeros((0, 4)), calibration(np.random.default_rng(6)), Method.EM, QuantifyOptions(CODES)
    )
    assert found.refusal == "no cell is counted"


def test_calibration_cells_survive_the_bundle():
    known = calibration(np.random.default_rng(7))
    back = CalibrationSet.from_bytes(known.to_bytes())
    np.testing.assert_allclose(back.probabilities, known.probabilities, atol=1e-3)
    np.testing.assert_allclose(back.probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(back.truth, known.truth)
    assert (back.at_random, back.cross_validated) == (True, False)
    labelled = replace(known, at_random=False, cross_validated=True)
    back = CalibrationSet.from_bytes(labelled.take(np.arange(9)).to_bytes())
    assert (back.at_random, back.cross_validated) == (False, True)
    with pytest.raises(BundleError, match="get the bundle again"):
        CalibrationSet.from_bytes(b"not such a file")
