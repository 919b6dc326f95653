"""Per-cell uncertainty of an ensemble, in nats.

For members p_m with mean p̄: the entropy H(p̄) is the total uncertainty, the mean of H(p_m) the part
that more members cannot remove, and their difference, the mutual information, is the members'
disagreement (Depeweg et al. 2018, arXiv:1710.07283, eq. 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from napari_deepheme.cells import Predictions


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """Uncertainty of n cells; every array has shape (n,) and dtype float64.

    Attributes
    ----------
    entropy : ndarray
        Entropy of the calibrated ensemble probabilities, nats.
    mutual_information : ndarray
        Entropy of the members' plain mean less the mean of their entropies, nats; zero for one member.
    agreement : ndarray
        Share of members whose own call is the ensemble's.
    margin : ndarray
        Highest less second-highest ensemble probability.
    """

    entropy: NDArray[np.float64]
    mutual_information: NDArray[np.float64]
    agreement: NDArray[np.float64]
    margin: NDArray[np.float64]


def uncertainty(predictions: Predictions) -> Uncertainty:
    """Uncertainty of each cell of ``predictions``."""
    members = predictions.members.astype(np.float64)
    mean = predictions.mean.astype(np.float64)
    votes = members.argmax(axis=2) == mean.argmax(axis=1)
    second, first = np.sort(mean, axis=1)[:, -2:].T
    information = entropy(members.mean(axis=0)) - entropy(members).mean(axis=0)
    return Uncertainty(
        entropy=entropy(mean),
        # rounding leaves values such as -1e-17 where members agree
        mutual_information=np.maximum(information, 0.0),
        agreement=votes.mean(axis=0),
        margin=first - second,
    )


def entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shannon entropy along the last axis, nats."""
    result: NDArray[np.float64] = entr(probabilities).sum(axis=-1)
    return result
