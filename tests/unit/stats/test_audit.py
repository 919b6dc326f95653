"""A person's random sample corrects a slide whatever the model does on it."""

import numpy as np
import pytest

from napari_deepheme.errors import OptionError
from napari_deepheme.stats.audit import Audit, corrected_by, plan_audit

K = 6


def called(truth: np.ndarray, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    confusion = accuracy * np.eye(K) + (1 - accuracy) * rng.dirichlet(np.full(K, 0.5), K)
    steps = np.cumsum(confusion[truth], axis=1)
    return (steps < rng.random(len(truth))[:, None]).sum(axis=1).clip(0, K - 1)


def test_an_audit_draws_at_random_from_every_call_as_often_as_it_occurs():
    calls = np.repeat([0, 1, 2], [400, 97, 3])
    chosen = plan_audit(calls, 50, seed=1)
    drawn = np.bincount(calls[chosen])
    assert drawn.tolist() == [40, 10, 2]
    assert len(set(chosen.tolist())) == len(chosen)
    assert (plan_audit(calls, 50, seed=2) != chosen).any()
    assert len(plan_audit(np.zeros(0, int), 50)) == 0
    with pytest.raises(OptionError, match="ask for 50"):
        plan_audit(calls, 0)


@pytest.mark.parametrize("accuracy", [0.9, 0.6, 0.2])
def test_the_interval_holds_whatever_the_laboratory(accuracy):
    rng, hits = np.random.default_rng(0), []
    for i in range(200):
        shares = rng.dirichlet(np.ones(K))
        truth = rng.choice(K, 500, p=shares)
        calls = called(truth, accuracy, rng)
        found = corrected_by(Audit.of(calls, truth, plan_audit(calls, 50, i), K))
        hits.append((found.low <= shares) & (shares <= found.high))
    assert np.mean(hits) >= 0.93


def test_an_audit_of_every_cell_is_the_count_itself():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, K, 300)
    calls = called(truth, 0.5, rng)
    found = corrected_by(Audit.of(calls, truth, np.arange(300), K))
    np.testing.assert_allclose(found.fractions, np.bincount(truth, minlength=K) / 300)
    assert found.fractions.sum() == pytest.approx(1)


def test_cells_named_for_their_doubt_count_as_named_and_not_for_their_neighbours():
    calls = np.zeros(90, int)
    truth = np.zeros(90, int)
    named = np.array([0, 10, 0, 0, 0, 0])
    found = corrected_by(Audit.of(calls, truth, np.arange(20), K, named))
    assert found.fractions[1] == pytest.approx(0.1)
    assert found.fractions[0] == pytest.approx(0.9)


def test_shares_are_among_what_truly_counts():
    calls, truth = np.zeros(100, int), np.repeat([0, 1], 50)
    counted = np.arange(K) != 1
    found = corrected_by(Audit.of(calls, truth, np.arange(100), K), counted=counted)
    assert found.fractions[0] == pytest.approx(1)
    assert np.isnan(found.fractions[1])


def test_a_call_that_nobody_looked_at_is_refused():
    calls = np.repeat([0, 1], 50)
    found = corrected_by(Audit.of(calls, calls, np.arange(10), K))
    assert "none of the 50 cells" in found.refusal
