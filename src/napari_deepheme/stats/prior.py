"""How often each class occurs on a slide, and calls that know it. No torch here.

A model learns from classes that were made about equally frequent; on a slide most cells may be of two or
three. Taken as learned, its few errors on the many then swamp the rare classes: with one neutrophil in twenty
called a myelocyte, most myelocytes of a normal count are neutrophils.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_KNOWN_CELLS, _STEPS = 100.0, 100


def class_prior(probabilities: NDArray[np.floating], learned: NDArray[np.floating]) -> NDArray[np.float64]:
    """Share of each class among cells, shape (k,).

    Maximises the likelihood of the cells by expectation and maximisation (Saerens et al. 2002, Neural
    Computation 14:21), blended with the mixture learned from as if a hundred cells of it had been seen too;
    so few cells change little, and no class is ruled out.

    Parameters
    ----------
    probabilities : ndarray, shape (n, k)
        Calibrated ones of cells drawn from all over a slide.
    learned : ndarray, shape (k,)
        Share of each class in what the model learned from; all above zero.
    """
    mixture = learned.astype(np.float64)
    for _ in range(_STEPS):
        expected = with_prior(probabilities, mixture, learned).sum(axis=0)
        mixture = (expected + _KNOWN_CELLS * learned) / (len(probabilities) + _KNOWN_CELLS)
    return mixture


def with_prior(
    probabilities: NDArray[np.floating], mixture: NDArray[np.floating], learned: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Probabilities (..., k) under the mixture learned from, as they are under another one (Bayes' rule)."""
    weighted = probabilities.astype(np.float64) * (mixture / learned)
    likely: NDArray[np.float64] = weighted / weighted.sum(axis=-1, keepdims=True)
    return likely
