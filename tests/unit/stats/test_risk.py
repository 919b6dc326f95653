"""The review threshold keeps its promise in simulation, and is withdrawn in words where it is none."""

import numpy as np
import pytest

from napari_deepheme.stats.calibration import review_threshold
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.exchangeability import Exchangeability, Verdict
from napari_deepheme.stats.risk import (
    Promise,
    accepted_accuracy,
    accepted_in_words,
    changed_by_review,
    monitor,
    promise_in_words,
)

PROMISE = Promise(0.7, 0.1, 0.9)


def entropies(n: int, rng: np.random.Generator):
    entropy = rng.gamma(1.2, 0.4, n)
    return entropy, rng.random(n) > np.minimum(entropy / 2.5, 0.9)  # the less sure, the more often wrong


def test_the_promise_of_the_review_threshold_is_kept_as_often_as_promised():
    rng = np.random.default_rng(0)
    everyone, right = entropies(400_000, rng)
    kept = []
    for _ in range(400):
        threshold = review_threshold(*entropies(800, rng), risk=0.1, confidence=0.9)
        accepted = everyone <= threshold
        kept.append(not accepted.any() or (~right[accepted]).mean() <= 0.1)
    assert np.mean(kept) >= 0.9 - 2 * np.sqrt(0.09 / 400)


@pytest.mark.parametrize("risk", [0.02, 0.1, 0.3])
def test_bounds_hold_at_every_look(risk):
    rng, held = np.random.default_rng(1), []
    for _ in range(300):
        errors = np.cumsum(rng.random(200) < risk)
        looks = [monitor(int(errors[n - 1]), n, PROMISE) for n in range(1, 201, 7)]
        held.append(all(look.low <= risk <= look.high for look in looks))
    assert np.mean(held) >= 0.9 - 0.02


def test_a_kept_promise_is_not_found_broken_and_a_broken_one_is():
    assert not monitor(10, 100, PROMISE).broken
    assert monitor(30, 100, PROMISE).broken
    assert (monitor(0, 0, PROMISE).low, monitor(0, 0, PROMISE).high) == (0, 1)
    assert monitor(0, 50, PROMISE).low == 0
    assert monitor(50, 50, PROMISE).high == 1


def of(verdict: Verdict) -> Exchangeability:
    return Exchangeability(verdict, 0.5, 0.5, 0.5, 100, 100)


def test_the_promise_is_stated_only_where_it_holds():
    assert "At most 10 %" in promise_in_words(PROMISE, of(Verdict.GREEN))
    for verdict in (Verdict.AMBER, Verdict.RED, Verdict.UNKNOWN):
        assert promise_in_words(PROMISE, of(verdict)).startswith("Withdrawn")
    assert promise_in_words(PROMISE, of(Verdict.GREEN), monitor(30, 100, PROMISE)).startswith("Withdrawn")
    assert promise_in_words(PROMISE, of(Verdict.GREEN), monitor(1, 40, PROMISE)).startswith("At most")
    assert "every cell" in promise_in_words(Promise(0.0, 0.1, 0.9), of(Verdict.GREEN))


def test_expected_accuracy_is_that_of_accepted_calibration_cells():
    probabilities = np.array([[0.99, 0.01]] * 80 + [[0.5, 0.5]] * 20, np.float32)
    truth = np.array([0] * 76 + [1] * 24)
    known = CalibrationSet(probabilities, truth, np.zeros(100, np.float32))
    found = accepted_accuracy(np.array([0.01, 0.69, 0.01, 0.01]), known, 0.3)
    assert found.share_to_review == 0.25
    assert found.accuracy == 0.95
    assert found.low < 0.95 < found.high
    unknown = accepted_accuracy(np.zeros(3), None, 0.3)
    assert np.isnan(unknown.accuracy)
    words = accepted_in_words(found, 0.3, of(Verdict.GREEN))
    assert "25.0 % of the cells lie above the review threshold, 0.30 nats" in words
    assert "here it may be fewer" in words
    assert "here it may be fewer" in accepted_in_words(found, 0.3, of(Verdict.RED))
    assert "not known" in accepted_in_words(unknown, 0.3, of(Verdict.GREEN))
    assert accepted_in_words(accepted_accuracy(np.zeros(0), known, 0.3), 0.3, of(Verdict.GREEN)) == ""


def test_what_a_review_changed_is_told_by_pair():
    changed = changed_by_review(["M5", "M5", "M6", "L2"], ["M6", "M6", "M6", "M2"])
    assert list(changed.items()) == [(("M5", "M6"), 2), (("L2", "M2"), 1)]


def test_what_was_seen_of_accepted_cells_is_told_with_bounds():
    assert monitor(0, 0, PROMISE).words == ""
    words = monitor(30, 100, PROMISE).words
    assert words.startswith("Of 100 accepted cells of a random audit 30 were called wrong")
    assert f"{100 * monitor(30, 100, PROMISE).low:.1f} to " in words


def test_expected_accuracy_is_that_of_the_slides_mix_of_classes():
    """Of the first class 60 of 60 are right, of the second 30 of 60: a slide of the first alone expects 1."""
    said = np.array([[0.99, 0.01]] * 60 + [[0.01, 0.99]] * 30 + [[0.99, 0.01]] * 30, np.float32)
    known = CalibrationSet(said, np.repeat([0, 1], 60), np.zeros(120, np.float32))
    entropy = np.zeros(5)
    plain = accepted_accuracy(entropy, known, 0.3)
    for shares, accuracy in (([1.0, 0.0], 1.0), ([0.0, 1.0], 0.5), ([0.5, 0.5], 0.75), ([np.nan, 1], 0.5)):
        found = accepted_accuracy(entropy, known, 0.3, np.array(shares))
        assert found.accuracy == pytest.approx(accuracy)
        assert found.low <= found.accuracy <= found.high
    even = accepted_accuracy(entropy, known, 0.3, np.array([0.5, 0.5]))
    assert (even.low, even.high) == pytest.approx((plain.low, plain.high))
    assert "weighted to the classes of this slide" in accepted_in_words(even, 0.3, of(Verdict.GREEN))
    assert "expect as many here" in accepted_in_words(even, 0.3, of(Verdict.GREEN))
