"""How good class probabilities are against the truth, one function a figure.

Probabilities have shape (n, k) and rows that sum to one, truth and calls are class indices of shape (n,),
counts are confusion matrices (k, k) with the truth in rows. Weights (n,) count each cell so many times:
ones for the figure itself, a resample's multiplicities for its bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from napari_deepheme.stats.calibration import conformal_threshold
from napari_deepheme.taxonomy import Lineage, Taxonomy

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

_SMALLEST = float(np.finfo(np.float64).eps)


def confusion(truth: Indices, called: Indices, classes: int, weights: Floats | None = None) -> Floats:
    """Cells of each true class (rows) called each class (columns), shape (classes, classes)."""
    counts = np.bincount(truth * classes + called, weights, classes * classes)
    return counts.reshape(classes, classes).astype(np.float64)


def one_step(taxonomy: Taxonomy) -> Mask:
    """Calls that count as right when one step along a maturation line is forgiven, shape (k, k).

    Matek et al., Blood 2021;138:1917: tolerant figures.
    """
    place = {code: i for i, code in enumerate(taxonomy.codes)}
    accepted = np.eye(len(place), dtype=bool)
    for line in taxonomy.lines:
        for younger, older in pairwise(line):
            accepted[place[younger], place[older]] = accepted[place[older], place[younger]] = True
    return accepted


def same_lineage(taxonomy: Taxonomy) -> Mask:
    """Calls of the true class's lineage, shape (k, k); what belongs to none is only right as itself."""
    lineage = np.array([c.lineage.value for c in taxonomy.classes], dtype=object)
    same: Mask = (lineage[:, None] == lineage) & (lineage != Lineage.OTHER.value)
    return same | np.eye(len(lineage), dtype=bool)


def share_accepted(counts: Floats, accepted: Mask) -> float:
    """Share of cells whose call is accepted for their truth; with the unit matrix the accuracy."""
    return float(counts[accepted].sum() / counts.sum())


def recall(counts: Floats, accepted: Mask | None = None) -> Floats:
    """Share of each true class that is called so, or is called what is accepted; nan without cells."""
    right = counts.diagonal() if accepted is None else (counts * accepted).sum(axis=1)
    return _ratio(right, counts.sum(axis=1))


def precision(counts: Floats, accepted: Mask | None = None) -> Floats:
    """Share of each class's calls that are right, or accepted; nan without calls."""
    right = counts.diagonal() if accepted is None else (counts * accepted).sum(axis=0)
    return _ratio(right, counts.sum(axis=0))


def f1(counts: Floats) -> Floats:
    """Harmonic mean of precision and recall of each class (van Rijsbergen 1979); nan for no cells."""
    score = _ratio(2 * counts.diagonal(), counts.sum(axis=0) + counts.sum(axis=1))
    return np.where(counts.sum(axis=1) > 0, score, np.nan)


def harmonic(first: Floats, second: Floats) -> Floats:
    """Harmonic mean, 0 where both are; nan where either is."""
    mean = _ratio(2 * first * second, first + second)
    return np.where(first + second == 0, 0.0, mean)


def macro(values: Floats, support: Floats) -> float:
    """Mean over the classes that occur, nan if none does; a precision without calls counts as 0."""
    occurs = support > 0
    return float(np.nan_to_num(values[occurs]).mean()) if occurs.any() else np.nan


def weighted(values: Floats, support: Floats) -> float:
    """Mean over the classes that occur, each by its cells; nan if none does."""
    return float(np.average(np.nan_to_num(values), weights=support)) if support.any() else np.nan


def tie_groups(scores: Floats) -> Indices:
    """Rank of each score in its column, equal scores sharing one; the part of an AUC to do only once."""
    ranks: Indices = rankdata(scores, method="dense", axis=0).astype(np.intp) - 1
    return ranks


def area_under_curve(groups: Indices, positive: Mask, weights: Floats) -> float:
    """Chance that a positive scores above a negative, ties half (Hanley & McNeil 1982).

    Parameters
    ----------
    groups : ndarray, shape (n,)
        A column of :func:`tie_groups`.
    positive : ndarray of bool, shape (n,)
    weights : ndarray, shape (n,)

    Returns
    -------
    float
        nan without positives or without negatives.
    """
    everyone = np.bincount(groups, weights)
    positives = np.bincount(groups[positive], weights[positive], len(everyone))
    negatives = everyone - positives
    pairs = positives.sum() * negatives.sum()
    below = np.cumsum(negatives) - negatives / 2
    return float(positives @ below / pairs) if pairs > 0 else np.nan


def auroc(known: Floats, foreign: Floats) -> float:
    """Chance that a foreign image's score lies above a known one's, ties half (Hendrycks & Gimpel 2017)."""
    scores = np.concatenate([known, foreign])
    positive = np.arange(len(scores)) >= len(known)
    return area_under_curve(tie_groups(scores[:, None])[:, 0], positive, np.ones(len(scores)))


def among_top(probabilities: Floats, truth: Indices, k: int) -> Mask:
    """Whether the truth is among the k most probable classes, for each cell."""
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    found: Mask = (top == truth[:, None]).any(axis=1)
    return found


def log_losses(probabilities: Floats, truth: Indices) -> Floats:
    """Negative log-likelihood of each cell, nats (Good 1952)."""
    losses: Floats = -np.log(np.clip(probabilities[np.arange(len(truth)), truth], _SMALLEST, 1.0))
    return losses


def brier_scores(probabilities: Floats, truth: Indices) -> Floats:
    """Squared distance from the one-hot truth of each cell, 0 to 2 (Brier 1950)."""
    scores: Floats = ((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2).sum(axis=1)
    return scores


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Confidence against accuracy in equal-width bins, empty ones left out; arrays of equal length."""

    confidence: Floats
    accuracy: Floats
    count: Indices


def reliability(probabilities: Floats, truth: Indices, bins: int = 15) -> Reliability:
    """What the reliability diagram shows (Guo et al. 2017, fig. 1)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    sums = [np.bincount(index, values, bins)[count > 0] for values in (confidence, correct)]
    filled = count[count > 0]
    return Reliability(sums[0] / filled, sums[1] / filled, filled)


def risk_coverage(confidence: Floats, correct: Mask) -> tuple[Floats, Floats]:
    """Coverage and error among the cells kept, most confident first (El-Yaniv & Wiener 2010).

    Both of shape (n,); the mean of the second is the area under the curve (Geifman et al. 2019).
    """
    kept = np.arange(1, len(correct) + 1)
    wrong = ~correct[np.argsort(-confidence, kind="stable")]
    return kept / len(correct), np.cumsum(wrong) / kept


def conformal_sets(probabilities: Floats, threshold: float) -> Mask:
    """Classes at or above the threshold, shape (n, k); the most probable one always.

    So no set is empty, and a model that is right more often than promised covers more than promised.
    """
    sets = probabilities >= threshold
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets


def conformal_by_halves(
    probabilities: Floats, truth: Indices, coverage: float, repeats: int = 20
) -> tuple[float, float]:
    """Coverage and mean size of sets whose threshold is set on a random half and tried on the other."""
    rng, found = np.random.default_rng(0), []
    for _ in range(repeats):
        order = rng.permutation(len(truth))
        half, other = np.array_split(order, 2)
        sets = conformal_sets(
            probabilities[other], conformal_threshold(probabilities[half], truth[half], coverage)
        )
        found.append((sets[np.arange(len(other)), truth[other]].mean(), sets.sum(axis=1).mean()))
    hit, size = np.mean(found, axis=0)
    return float(hit), float(size)


def bootstrap(statistic: Callable[[Floats], Floats], n: int, replicates: int, seed: int = 0) -> Floats:
    """Statistic of resamples of n cells, drawn with replacement; shape (replicates, …)."""
    rng = np.random.default_rng(seed)
    draws = (np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64) for _ in range(replicates))
    return np.stack([statistic(weights) for weights in draws])


def percentile_interval(replicates: Floats, confidence: float = 0.95) -> Floats:
    """Low and high percentile along the first axis, shape (2, …) (Efron & Tibshirani 1993, ch. 13).

    Resamples that had no cell of a class (nan) are left out; nan where none had.
    """
    tail = 100 * (1 - confidence) / 2
    empty = np.isnan(replicates).all(axis=0)
    interval = np.nanpercentile(np.where(empty, 0.0, replicates), [tail, 100 - tail], axis=0)
    return np.where(empty, np.nan, interval)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    ratio: Floats = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return ratio
