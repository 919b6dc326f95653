"""Parts of labelled cells for cross-validation: groups kept whole, classes in proportion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEWEST_GROUPS = 2
"""Groups a class must come from to be judged by groups."""


def dealt(labels: NDArray[np.intp], groups: NDArray[np.intp], parts: int, seed: int) -> NDArray[np.intp]:
    """Part of each cell, 0 to ``parts`` - 1.

    Whole groups are dealt one after the other, the largest first, each to the part where it leaves the
    classes most even; so with a group to each cell the classes are stratified.

    Parameters
    ----------
    labels, groups : ndarray of intp, shape (n,)
        Class and group of each cell.
    parts : int
    seed : int
        Groups of the same size are dealt in an order of its own.
    """
    numbers = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((numbers.max(initial=-1) + 1, labels.max(initial=-1) + 1))
    np.add.at(counts, (numbers, labels), 1)
    share = counts / np.maximum(counts.sum(axis=0), 1)
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(counts)), -counts.sum(axis=1)))
    have = np.zeros((min(parts, len(counts)), counts.shape[1]))
    part = np.zeros(len(counts), np.intp)
    for group in order:
        # what each part would hold of the group's classes; ties go to the emptier part
        crowded = ((have + share[group]) ** 2 - have**2).sum(axis=1)
        part[group] = np.lexsort((have.sum(axis=1), crowded))[0]
        have[part[group]] += share[group]
    return part[numbers]
