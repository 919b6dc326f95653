"""How far people, and a model, agree: kappas, and one against the other on the same cells.

Labels are class indices of shape (n,); -1 stands for a cell a person did not label.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from napari_deepheme.stats.metrics import (
    Floats,
    Indices,
    bootstrap,
    confusion,
    f1,
    macro,
    percentile_interval,
)

UNLABELLED = -1


def cohen_kappa(first: Indices, second: Indices, classes: int) -> float:
    """Agreement of two beyond chance (Cohen 1960, eq. 1), on the cells both labelled.

    Returns
    -------
    float
        nan without such cells, and when both only ever use one and the same class.
    """
    both = (first != UNLABELLED) & (second != UNLABELLED)
    if not both.any():
        return np.nan
    shares = confusion(first[both], second[both], classes) / both.sum()
    observed, expected = np.trace(shares), shares.sum(axis=0) @ shares.sum(axis=1)
    return float((observed - expected) / (1 - expected)) if expected < 1 else np.nan


def fleiss_kappa(labels: Indices, classes: int) -> float:
    """Agreement of several beyond chance (Fleiss 1971, eq. 7), on the cells all of them labelled.

    Parameters
    ----------
    labels : ndarray, shape (raters, n)
        At least two raters.
    classes : int

    Returns
    -------
    float
        nan without such cells, and when only one class is ever used.
    """
    complete = labels[:, (labels != UNLABELLED).all(axis=0)]
    raters, n = complete.shape
    if raters < 2 or n == 0:
        return np.nan
    votes = (complete[:, :, None] == np.arange(classes)).sum(axis=0)
    observed = ((votes * (votes - 1)).sum(axis=1) / (raters * (raters - 1))).mean()
    expected = ((votes.sum(axis=0) / (raters * n)) ** 2).sum()
    return float((observed - expected) / (1 - expected)) if expected < 1 else np.nan


@dataclass(frozen=True, slots=True)
class Difference:
    """First less second, its 95 % interval, and the two-sided p that there is none."""

    value: float
    low: float
    high: float
    p: float


def macro_f1(truth: Indices, called: Indices, classes: int, weights: Floats | None = None) -> float:
    """Mean F1 of the classes that occur among the cells."""
    counts = confusion(truth, called, classes, weights)
    return macro(f1(counts), counts.sum(axis=1))


def compare(
    truth: Indices, first: Indices, second: Indices, classes: int, replicates: int = 1000
) -> Difference:
    """Difference in macro F1 of two who labelled the same cells, by the paired bootstrap.

    Efron & Tibshirani 1993, ch. 16; the p-value counts the resamples on the other side of zero, with
    Davison & Hinkley's (1997, eq. 4.11) one added to both.
    """

    def difference(weights: Floats) -> Floats:
        scores = [macro_f1(truth, labels, classes, weights) for labels in (first, second)]
        return np.array(scores[0] - scores[1])

    resampled = bootstrap(difference, len(truth), replicates)
    low, high = percentile_interval(resampled)
    tail = min((resampled <= 0).sum(), (resampled >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (replicates + 1))
    return Difference(float(difference(np.ones(len(truth)))), float(low), float(high), float(p))


@dataclass(frozen=True, slots=True)
class RaterScores:
    """One expert against the truth, and the model against the expert, on the n cells the expert labelled.

    ``kappa`` is Cohen's with the truth; ``difference`` is the model's macro F1 less the expert's.
    """

    n: int
    accuracy: float
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    f1: dict[str, float]
    kappa: float
    model_macro_f1: float
    difference: Difference


@dataclass(frozen=True, slots=True)
class RaterAgreement:
    """All experts: each against the truth, every pair (Cohen's kappa), and all together (Fleiss')."""

    each: dict[str, RaterScores]
    cohen_kappa: dict[str, float]
    fleiss_kappa: float


@dataclass(frozen=True, slots=True, eq=False)
class Raters:
    """What experts called the cells: labels of shape (raters, n), -1 where one gave none."""

    names: tuple[str, ...]
    labels: Indices


def judge(
    raters: Raters, truth: Indices, called: Indices, codes: tuple[str, ...], replicates: int = 1000
) -> RaterAgreement:
    """Experts who labelled any cell, and a model's calls, against the truth; classes named by ``codes``."""
    each = {
        name: _judge_one(labels, truth, called, codes, replicates)
        for name, labels in zip(raters.names, raters.labels, strict=True)
        if (labels != UNLABELLED).any()
    }
    rows = dict(zip(raters.names, raters.labels, strict=True))
    pairs = {f"{a} – {b}": cohen_kappa(rows[a], rows[b], len(codes)) for a, b in combinations(rows, 2)}
    return RaterAgreement(each, pairs, fleiss_kappa(raters.labels, len(codes)))


def _judge_one(
    labels: Indices, truth: Indices, called: Indices, codes: tuple[str, ...], replicates: int
) -> RaterScores:
    given = labels != UNLABELLED
    labels, truth, called, k = labels[given], truth[given], called[given], len(codes)

    def score(weights: Floats) -> Floats:
        return np.array(macro_f1(truth, labels, k, weights))

    low, high = percentile_interval(bootstrap(score, len(truth), replicates))
    return RaterScores(
        n=len(truth),
        accuracy=float((labels == truth).mean()),
        macro_f1=macro_f1(truth, labels, k),
        macro_f1_interval=(float(low), float(high)),
        f1=dict(zip(codes, f1(confusion(truth, labels, k)).tolist(), strict=True)),
        kappa=cohen_kappa(truth, labels, k),
        model_macro_f1=macro_f1(truth, called, k),
        difference=compare(truth, called, labels, k, replicates),
    )
