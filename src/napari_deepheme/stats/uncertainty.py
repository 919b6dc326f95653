"""Uncertainty of an ensemble, in nats.

An ensemble is a mixture: draw a member, then a class from its probabilities. The entropy of the class is the
total uncertainty, its mean within the members is what more members cannot remove, and the difference is the
mutual information between member and class: the members' disagreement (Depeweg et al. 2018, arXiv:1710.07283,
eq. 3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shannon entropy along the last axis, nats."""
    from scipy.special import entr  # noqa: PLC0415  options that need no entropy import this module too

    result: NDArray[np.float64] = entr(probabilities.astype(np.float64)).sum(axis=-1)
    return result


def members_mean(members: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean (n, k) of members (m, n, k): of those that were asked of each cell, for the others hold NaN."""
    asked = ~np.isnan(members[:, :, :1])
    total = np.where(asked, members, 0).sum(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # a cell that no member was asked of stays NaN
        mean: NDArray[np.float64] = total / asked.sum(axis=0)
    return mean


def member_joint(members: NDArray[np.floating], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Joint probability of member and class once the ensemble's probabilities were calibrated.

    A temperature and a class prior turn the members' mean into other probabilities, that is, they weight each
    class of a cell by a factor. The same factors weight the classes of every member, so that members and mean
    stay at one temperature and one prior, and the mixture of the members is what the ensemble says.

    Parameters
    ----------
    members : ndarray, shape (m, n, k)
        Members' probabilities as the networks gave them, NaN where one was not asked; their mean must be
        above zero.
    probabilities : ndarray, shape (n, k)
        The ensemble's, calibrated.

    Returns
    -------
    ndarray of float64, shape (m, n, k)
        Sums to ``probabilities`` over the members, to one over members and classes; zero where a member was
        not asked.
    """
    asked = ~np.isnan(members[:, :, :1])
    shares = np.where(asked, members, 0) / np.maximum(asked.sum(axis=0), 1)
    joint: NDArray[np.float64] = shares * (probabilities / members_mean(members))
    return joint


def mutual_information(joint: NDArray[np.floating]) -> NDArray[np.float64]:
    """Information (n,) that the member holds about the class, nats, from :func:`member_joint`.

    Between 0, where the members agree, and the entropy of the class.
    """
    from scipy.special import entr  # noqa: PLC0415

    of_class, of_member = joint.sum(axis=0), joint.sum(axis=2)
    information = entr(of_class).sum(axis=1) + entr(of_member).sum(axis=0) - entr(joint).sum(axis=(0, 2))
    # rounding leaves values such as -1e-17 where members agree
    bounded: NDArray[np.float64] = np.clip(information, 0.0, entr(of_class).sum(axis=1))
    return bounded
