"""Which cells to label next: those whose label would teach most. No torch here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr


def suggest(
    members: NDArray[np.floating],
    places: NDArray[np.floating] | None = None,
    labelled: NDArray[np.bool_] | None = None,
    labels: NDArray[np.integer] | None = None,
    *,
    n: int | None = None,
) -> NDArray[np.intp]:
    """Order cells by what a label would teach.

    Each next cell is the one with the most of three things together: doubt (entropy of the mean), a class in
    need (few labels and few suggestions so far among the classes it may be of), and distance from all cells
    labelled or suggested before it.

    Parameters
    ----------
    members : ndarray, shape (m, n, k)
        Probabilities of each member of each cell.
    places : ndarray, shape (n, d), optional
        Where cells lie, to be unlike each other: features, or anything else that tells them apart. Left out,
        the members' probabilities are taken.
    labelled : ndarray of bool, shape (n,), optional
        Cells that have a label: they are never suggested, but others are to be unlike them.
    labels : ndarray of int, shape (n,), optional
        Class of each labelled cell; of the others it is ignored. Left out, the call.
    n : int, optional
        How many to suggest; all if left out.

    Returns
    -------
    ndarray of intp, shape (n or fewer,)
        Indices of cells without a label, the most instructive first.
    """
    mean = members.astype(np.float64).mean(axis=0)
    known = np.zeros(len(mean), bool) if labelled is None else labelled.astype(bool)
    given = mean.argmax(axis=1) if labels is None else labels
    have = np.bincount(given[known], minlength=mean.shape[1]).astype(np.float64)
    where = _standardised(members, places)
    gap = np.full(len(mean), np.inf)
    for i in np.flatnonzero(known).tolist():
        gap = np.minimum(gap, _distance(where, i))
    left = int((~known).sum())
    return _ordered(mean, where, (have, gap, ~known), left if n is None else min(n, left))


def _ordered(
    mean: NDArray[np.float64],
    where: NDArray[np.float64],
    state: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]],
    n: int,
) -> NDArray[np.intp]:
    """Choose one after the other, from labels a class, distances to what is labelled, and who waits."""
    have, gap, waiting = state
    doubt = entr(mean).sum(axis=1) / np.log(mean.shape[1])
    order: list[int] = []
    for _ in range(n):
        need = mean @ (1 / (1 + have))
        best = _most(doubt, need, gap, waiting)
        order.append(best)
        waiting[best] = False
        have = have + mean[best]
        gap = np.minimum(gap, _distance(where, best))
    return np.array(order, np.intp)


def _most(
    doubt: NDArray[np.float64],
    need: NDArray[np.float64],
    gap: NDArray[np.float64],
    waiting: NDArray[np.bool_],
) -> int:
    # nothing lies near before the first is chosen
    far = np.ones(len(gap)) if np.isinf(gap).all() else gap / max(gap[waiting].max(), 1e-12)
    score = np.where(waiting, (0.1 + doubt) * need * far, -1.0)
    return int(score.argmax())


def _standardised(members: NDArray[np.floating], places: NDArray[np.floating] | None) -> NDArray[np.float64]:
    if places is None:
        # square roots: Hellinger's distance between what the members say
        rows = np.sqrt(members.astype(np.float64)).transpose(1, 0, 2)
        return rows.reshape(len(rows), rows.shape[1] * rows.shape[2])
    spread = places.std(axis=0)
    scaled: NDArray[np.float64] = (places - places.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def _distance(where: NDArray[np.float64], i: int) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.sqrt(((where - where[i]) ** 2).sum(axis=1))
    return distance
