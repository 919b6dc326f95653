"""How well found cells agree with marked ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]

_NEVER = 1e9


@dataclass(frozen=True, slots=True)
class DetectionCounts:
    """Cells found and marked, found without a mark, and marked but not found."""

    both: int = 0
    only_found: int = 0
    only_marked: int = 0

    def __add__(self, other: DetectionCounts) -> DetectionCounts:
        return DetectionCounts(
            self.both + other.both,
            self.only_found + other.only_found,
            self.only_marked + other.only_marked,
        )

    @property
    def precision(self) -> float:
        """Share of the found ones that are marked; NaN if none was found."""
        found = self.both + self.only_found
        return self.both / found if found else float("nan")

    @property
    def recall(self) -> float:
        """Share of the marked ones that were found; NaN if none is marked."""
        marked = self.both + self.only_marked
        return self.both / marked if marked else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN where there is nothing to find and nothing was."""
        total = 2 * self.both + self.only_found + self.only_marked
        return 2 * self.both / total if total else float("nan")


def matches(found: Floats, centres: Floats, reach: Floats) -> NDArray[np.intp]:
    """Pairs of found and marked cells, each in one pair at most, as many as there can be.

    Parameters
    ----------
    found : ndarray of float64, shape (n, 2)
        Centres that a detector gives, (y, x).
    centres, reach : ndarray of float64, shape (m, 2)
        Middles of the marked cells, and how far in y and in x a centre may lie from them: half a box.

    Returns
    -------
    ndarray of intp, shape (p, 2)
        Indices into ``found`` and ``centres``.
    """
    gap = np.abs(found[:, None] - centres[None])
    allowed: NDArray[np.bool_] = np.asarray((gap <= reach[None]).all(axis=2))
    # the nearest first among as many pairs as possible
    cost = np.where(allowed, np.hypot(gap[..., 0], gap[..., 1]), _NEVER)
    rows, columns = linear_sum_assignment(cost)
    pairs: NDArray[np.intp] = np.stack([rows, columns], axis=1)[allowed[rows, columns]]
    return pairs


def inside(points: Floats, boxes: Floats) -> NDArray[np.bool_]:
    """Which points (n, 2) lie in a box (m, 4) of middle (y, x), height and width."""
    gap = np.abs(points[:, None] - boxes[None, :, :2])
    in_box: NDArray[np.bool_] = np.asarray((gap <= boxes[None, :, 2:] / 2).all(axis=2))
    return np.asarray(in_box.any(axis=1))


def detection_counts(found: Floats, centres: Floats, reach: Floats) -> DetectionCounts:
    """Count what :func:`matches` pairs and what it leaves."""
    both = len(matches(found, centres, reach))
    return DetectionCounts(both, len(found) - both, len(centres) - both)
