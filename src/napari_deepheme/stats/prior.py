"""The class prior of a slide, and probabilities under another prior.

A model is trained on classes made about equally frequent; on a slide most cells may be of two or three. Under
the training prior its few errors on the many swamp the rare classes: with one neutrophil in twenty called a
myelocyte, most myelocytes of a normal count are neutrophils.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PSEUDO_CELLS, _STEPS = 100.0, 100


def class_prior(probabilities: NDArray[np.floating], trained: NDArray[np.floating]) -> NDArray[np.float64]:
    """Share of each class among cells, shape (k,).

    Maximises the likelihood of the cells by expectation and maximisation (Saerens et al. 2002, Neural
    Computation 14:21), blended with the training prior as if a hundred cells of it had been seen too; so few
    cells change little, and no class is ruled out.

    Parameters
    ----------
    probabilities : ndarray, shape (n, k)
        Calibrated ones, under the training prior, of cells drawn from all over a slide.
    trained : ndarray, shape (k,)
        The training prior; all above zero.
    """
    prior = trained.astype(np.float64)
    for _ in range(_STEPS):
        expected = with_prior(probabilities, prior, trained).sum(axis=0)
        prior = (expected + _PSEUDO_CELLS * trained) / (len(probabilities) + _PSEUDO_CELLS)
    return prior


def with_prior(
    probabilities: NDArray[np.floating], prior: NDArray[np.floating], trained: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Probabilities (..., k) under the training prior, turned into those under another one (Bayes' rule)."""
    weighted = probabilities.astype(np.float64) * (prior / trained)
    likely: NDArray[np.float64] = weighted / weighted.sum(axis=-1, keepdims=True)
    return likely
