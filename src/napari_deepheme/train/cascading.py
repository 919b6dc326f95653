"""The threshold of a cascade, chosen on cells held back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.classify.bundle import Cascade
from napari_deepheme.classify.cascade import Settling, ask_in_turn
from napari_deepheme.stats.calibration import pool

MOST_CHANGED = 0.002
"""Share of the calls that a cascade may change: its loss of accuracy can be no larger."""
_GRID = np.arange(99, 49, -1) / 100


def choose_cascade(
    members: NDArray[np.floating], distances: NDArray[np.floating], farthest: float
) -> Cascade | None:
    """The lowest threshold at which the calls stay those of all members, and do at every stricter one.

    Calls are compared with those of the whole ensemble, not with the truth: on a thousand cells a difference
    in accuracy of 0.2 points is two cells, which chance gives and takes, while calls that change are rare at
    any threshold worth having.

    Parameters
    ----------
    members : ndarray, shape (m, n, k)
        Probabilities of cells the members did not learn from.
    distances : ndarray, shape (m, n)
        Out-of-distribution distance of each cell by each member.
    farthest : float
        Distance above which every member is asked.

    Returns
    -------
    Cascade or None
        None for one member, and where there are too few cells to see so few calls change.
    """
    m, n, _ = members.shape
    if m < 2 or n * MOST_CHANGED < 1:
        return None
    whole, chosen = pool(members, 1.0).argmax(axis=1), None
    for threshold in _GRID.tolist():
        raw = ask_in_turn(
            lambda i, cells: (members[i, cells], distances[i, cells]), m, n, Settling(threshold, farthest)
        )
        if (pool(raw.members, 1.0).argmax(axis=1) != whole).mean() > MOST_CHANGED:
            break
        chosen = threshold
    return None if chosen is None else Cascade(threshold=chosen, changed=MOST_CHANGED)
