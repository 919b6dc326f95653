"""From raw ensemble outputs to probabilities that mean what they say, fitted on cells held back.

scipy is imported where it is used: a run only pools, and scipy.stats alone takes most of a second.
Every function takes probabilities of shape (n, k) and truth as class indices of shape (n,).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.stats.uncertainty import members_mean

Probabilities = NDArray[np.floating]
Labels = NDArray[np.integer]

SMALLEST = 1e-7
"""Probabilities are not taken to be smaller, so that their logarithms are numbers."""


def pool(members: Probabilities, temperature: float | NDArray[np.floating]) -> NDArray[np.float32]:
    """Mean of the members, then the temperature (Rahaman & Thiery 2021: pool, then calibrate).

    Parameters
    ----------
    members : ndarray, shape (m, n, k)
        Each member's probabilities; NaN where one was not asked of a cell.
    temperature : float or ndarray of shape (n,)
        Above 1 softens, below 1 sharpens; one for all cells, or of each its own.

    Returns
    -------
    ndarray of float32, shape (n, k)
    """
    from scipy.special import softmax  # noqa: PLC0415

    logits = np.log(np.clip(members_mean(members), SMALLEST, None))
    softened = softmax(logits / np.asarray(temperature)[..., None], axis=1)
    pooled: NDArray[np.float32] = softened.astype(np.float32)
    return pooled


def fit_temperature(members: Probabilities, truth: Labels) -> float:
    """Temperature that minimises the negative log-likelihood of the pooled members (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415
    from scipy.special import log_softmax  # noqa: PLC0415

    logits = np.log(np.clip(members.astype(np.float64).mean(axis=0), SMALLEST, None))
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, truth].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def review_threshold(
    entropies: NDArray[np.float64], correct: NDArray[np.bool_], risk: float, confidence: float
) -> float:
    """Largest entropy up to which a call may be accepted without review.

    Fixed-sequence learn-then-test (Angelopoulos et al. 2021, arXiv:2110.01052): from the strictest of a
    fixed grid of thresholds upwards, as long as the Clopper-Pearson upper bound of the error among the
    accepted cells stays at or below ``risk`` with the given ``confidence``.

    Returns
    -------
    float
        Nats; 0.0 when no threshold can be vouched for, so that everything is reviewed.
    """
    from scipy.stats import beta  # noqa: PLC0415

    vouched_for = 0.0
    for threshold in np.linspace(0.05, 2.5, 50):
        accepted = entropies <= threshold
        n, errors = int(accepted.sum()), int((accepted & ~correct).sum())
        # even without an error so few cells could not be vouched for; this looks at no label,
        # so the sequence of tests stays fixed
        if n < np.log(1.0 - confidence) / np.log(1.0 - risk):
            continue
        bound = beta.ppf(confidence, errors + 1, n - errors) if errors < n else 1.0
        if bound > risk:
            break
        vouched_for = float(threshold)
    return vouched_for


def conformal_threshold(probabilities: Probabilities, truth: Labels, coverage: float) -> float:
    """Lowest probability a class needs to enter a cell's conformal set (LAC, Sadinle et al. 2019).

    The sets {class : p ≥ threshold} hold the true class of at least ``coverage`` of exchangeable cells.
    """
    scores = 1.0 - probabilities[np.arange(len(truth)), truth].astype(np.float64)
    level = min(1.0, np.ceil((len(truth) + 1) * coverage) / len(truth))
    return float(1.0 - np.quantile(scores, level, method="higher"))


def expected_calibration_error(probabilities: Probabilities, truth: Labels, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017, eq. 3)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        (index == b).mean() * abs(correct[index == b].mean() - confidence[index == b].mean())
        for b in np.unique(index)
    ]
    return float(np.sum(gaps))
