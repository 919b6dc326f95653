"""Is this slide one of ours: rarely an alarm at home, always one where cells look different."""

from dataclasses import replace

import numpy as np
import pytest

from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.exchangeability import Verdict, exchangeability

K = 4


def cells(n: int, rng: np.random.Generator, apart: float = 3.0, out: float = 0.0):
    """Probabilities, truth and distances; classes lie at distances of their own."""
    truth = rng.integers(0, K, n)
    logits = rng.normal(size=(n, K)) + apart * np.eye(K)[truth]
    p = np.exp(logits)
    distance = rng.gamma(20, 0.05, n) + 0.3 * truth + out
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32), truth, distance.astype(np.float32)


def calibration(rng: np.random.Generator, n: int = 600, apart: float = 3.0) -> CalibrationSet:
    return CalibrationSet(*cells(n, rng, apart))


def test_alarms_at_home_are_as_rare_as_promised_and_p_is_even():
    rng, found = np.random.default_rng(0), []
    for i in range(150):
        p, _, distance = cells(200, rng)
        found.append(exchangeability(p, distance, calibration(rng), permutations=199, seed=i))
    assert np.mean([each.verdict is not Verdict.GREEN for each in found]) <= 0.05
    assert not any(each.verdict is Verdict.RED for each in found)
    assert 0.4 < np.mean([each.p for each in found]) < 0.6


def test_another_mix_of_classes_is_no_alarm():
    rng, alarms = np.random.default_rng(1), []
    for i in range(60):
        p, truth, distance = cells(2000, rng, apart=5.0)
        kept = np.flatnonzero((truth == 3) | (rng.random(2000) < 0.05))[:300]
        found = exchangeability(
            p[kept], distance[kept], calibration(rng, apart=5.0), permutations=199, seed=i
        )
        alarms.append(found.verdict is not Verdict.GREEN)
    assert np.mean(alarms) <= 0.1


@pytest.mark.parametrize("change", [{"out": 0.3}, {"apart": 1.5}, {"apart": 6.0}], ids=str)
def test_cells_further_out_less_sure_or_too_sure_turn_it_red(change):
    rng = np.random.default_rng(2)
    p, _, distance = cells(200, rng, **change)
    found = exchangeability(p, distance, calibration(rng), permutations=1999)
    assert found.verdict is Verdict.RED
    assert not found.holds
    assert "Adapt the model" in found.advice


def test_a_few_cells_are_only_judged_when_they_are_clearly_others():
    rng = np.random.default_rng(3)
    p, _, distance = cells(12, rng)
    assert exchangeability(p, distance, calibration(rng)).verdict is Verdict.UNKNOWN
    assert exchangeability(p, distance + 5, calibration(rng)).verdict is Verdict.RED


def test_without_calibration_or_cells_nothing_is_claimed():
    p, _, distance = cells(50, np.random.default_rng(4))
    for found in (
        exchangeability(p, distance, None),
        exchangeability(p[:0], distance[:0], calibration(np.random.default_rng(5))),
    ):
        assert found.verdict is Verdict.UNKNOWN
        assert not found.holds
        assert np.isnan(found.p)


def test_a_model_without_distances_is_judged_by_entropy():
    rng = np.random.default_rng(6)
    known = calibration(rng)
    known = CalibrationSet(known.probabilities, known.truth, np.full(len(known), np.nan, np.float32))
    p, _, _ = cells(300, rng, apart=1.5)
    found = exchangeability(p, np.full(300, np.nan), known)
    assert found.verdict is Verdict.RED
    assert np.isnan(found.distance)


def test_a_difference_too_small_to_matter_is_no_alarm_however_many_cells_show_it():
    rng, alarms, p_values = np.random.default_rng(10), [], []
    for i in range(20):
        p, _, distance = cells(1500, rng, out=0.02)
        found = exchangeability(p, distance, calibration(rng, 1500), permutations=199, seed=i)
        assert found.distance > 0.5
        alarms.append(found.verdict is not Verdict.GREEN)
        p_values.append(found.p)
    assert np.mean(np.array(p_values) <= 0.03) > 0.3
    assert np.mean(alarms) <= 0.1


def test_artefacts_do_not_raise_the_alarm():
    rng = np.random.default_rng(7)
    p, _, distance = cells(400, rng)
    calls = p.argmax(axis=1)
    strange = distance + 9 * (calls == 0)
    counted = np.array([False, True, True, True])
    assert exchangeability(p, strange, calibration(rng)).verdict is Verdict.RED
    assert exchangeability(p, strange, calibration(rng), counted).verdict is Verdict.GREEN


def test_a_model_that_learned_from_all_labels_may_be_surer_than_it_was_in_cross_validation():
    rng = np.random.default_rng(8)
    known = replace(calibration(rng), cross_validated=True)
    surer, doubtful, strange = (
        cells(300, rng, **change) for change in ({"apart": 4.0}, {"apart": 1.5}, {"out": 0.3})
    )
    verdicts = [exchangeability(p, distance, known).verdict for p, _, distance in (surer, doubtful, strange)]
    assert verdicts == [Verdict.GREEN, Verdict.RED, Verdict.RED]
    before = exchangeability(surer[0], surer[2], replace(known, cross_validated=False))
    assert before.verdict is not Verdict.GREEN


def test_ordinary_cells_are_no_alarm_where_people_chose_odd_ones_to_label():
    """Labels chosen by doubt: any slide of that laboratory looks nearer and surer than they do."""
    rng = np.random.default_rng(9)
    odd = replace(CalibrationSet(*cells(300, rng, apart=2.0, out=0.2)), at_random=False, cross_validated=True)
    p, _, distance = cells(300, rng)
    found = exchangeability(p, distance, odd)
    assert found.verdict is Verdict.UNKNOWN  # never green: a slide of another laboratory may look so as well
    assert not found.holds
    assert "cells of another laboratory may pass for them" in found.advice
    p, _, distance = cells(300, rng, apart=1.0)
    assert exchangeability(p, distance + 0.5, odd.take(np.arange(120))).verdict is Verdict.RED
    stranger = exchangeability(p, distance + 0.5, odd)
    assert stranger.verdict is Verdict.RED
    assert "the choice alone may make the difference" in stranger.advice
