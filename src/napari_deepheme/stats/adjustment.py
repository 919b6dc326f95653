"""Class shares from what a classifier says and how it confuses: inversion, expectation and maximisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from napari_deepheme.stats.intervals import Floats

_STEPS, _CLOSE, _SUM_WEIGHT = 300, 1e-5, 1e3


def confusion_of(truth: NDArray[np.integer], said: Floats, weights: Floats | None = None) -> Floats:
    """Share of each true class (columns) that is said each class (rows), shape (k, k).

    Parameters
    ----------
    truth : ndarray, shape (n,)
    said : ndarray, shape (n, k)
        One-hot calls, or probabilities.
    weights : ndarray, shape (n,), optional
    """
    one_hot = np.eye(said.shape[1])[truth] * (1.0 if weights is None else weights[:, None])
    totals = one_hot.sum(axis=0)
    return np.asarray(said.T @ one_hot / np.where(totals > 0, totals, 1.0))


def invert(confusion: Floats, observed: Floats) -> Floats:
    """Shares p ≥ 0 with sum 1 whose confusion is nearest to the observed shares, least squares."""
    k = len(observed)
    system = np.vstack([confusion, np.full((1, k), _SUM_WEIGHT)])
    shares, _ = nnls(system, np.append(observed, _SUM_WEIGHT))
    return np.asarray(shares / shares.sum())


def expectation_maximisation(
    probabilities: Floats, prior: Floats, weights: Floats | None = None, factors: Floats | None = None
) -> Floats:
    """Class prior of cells whose probabilities hold for another one (Saerens et al. 2002, eq. 9).

    Parameters
    ----------
    probabilities : ndarray, shape (n, k)
    prior : ndarray, shape (r, k)
        What they hold for.
    weights : ndarray, shape (r, n), optional
        How often each cell counts, in each of r resamples at once.
    factors : ndarray, shape (r, k), optional
        On the probabilities, before each row is brought back to a sum of one.

    Returns
    -------
    ndarray, shape (r, k)
    """
    w = np.ones((len(prior), len(probabilities))) if weights is None else weights
    scale = (1.0 if factors is None else factors) / prior
    shares = prior.astype(np.float64)
    for _ in range(_STEPS):
        # two matrix products a step for all resamples together: Σ_i w_i p_ij u_j / Σ_j p_ij u_j
        u = scale * shares
        following = u * ((w / (u @ probabilities.T)) @ probabilities) / w.sum(axis=1, keepdims=True)
        moved = np.abs(following - shares).max()
        shares = following
        if moved < _CLOSE:
            break
    return shares


def bias_factors(probabilities: Floats, prior: Floats, weights: Floats) -> Floats:
    """Factors (r, k) on the classes that make the mean probability of cells (n, k) their share.

    The bias-only part of Alexandari et al. 2020 (arXiv:1901.06852): EM is as good as its probabilities are
    calibrated class by class. Probabilities are above zero, so that there is one solution; Newton's method
    finds it in some five steps, from that of the whole sample on for each of r resamples (n weights each).
    """
    flat = np.zeros(prior.shape[1])
    whole = _bias(probabilities, prior.mean(axis=0), weights.mean(axis=0), flat)
    pairs = zip(prior, weights, strict=True)
    factors = np.exp([_bias(probabilities, share, each, whole) for share, each in pairs])
    return np.asarray(factors / factors.mean(axis=1, keepdims=True))


def _bias(probabilities: Floats, prior: Floats, weights: Floats, start: Floats) -> Floats:
    """Logarithms (k,) of the factors, the minimum of the convex Σ w log Σ_j p_j e^b_j - n Σ_j prior_j b_j."""
    drawn = weights > 0
    p, w = probabilities[drawn], weights[drawn]
    wanted, bias, k = w.sum() * prior, start, len(prior)
    for _ in range(_STEPS):
        q = p * np.exp(bias)
        q /= q.sum(axis=1, keepdims=True)
        weighted = q * w[:, None]
        there = weighted.sum(axis=0)
        if np.abs(there / np.maximum(wanted, 1e-12) - 1)[wanted > 0].max() < _CLOSE:
            break
        # all factors times one number change nothing: the constant settles that, and 1e-9 near singularity
        curvature = np.diag(there) - q.T @ weighted + w.sum() * (1 / k**2 + 1e-9 * np.eye(k))
        # far from the minimum a whole step goes too far
        bias = bias - np.clip(np.linalg.solve(curvature, there - wanted), -1, 1)
    return np.asarray(bias - bias.mean())
