"""Nucleated cells crowded as in marrow: clusters in which neighbours touch or overlap; places in µm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.errors import OptionError

Points = NDArray[np.float64]

NEAR = (0.75, 1.0)
"""Distance of neighbours in a cluster, as a share of the sum of their radii."""

_MOST = 12  # cells in a cluster
_GAP_UM = 2.0  # least glass between cells that are not of one cluster
_TRIES = 2000


def clustered_places(
    sides_um: Points,
    size_um: Points,
    share: float,
    holds: Callable[[Points], NDArray[np.bool_]],
    rng: np.random.Generator,
) -> Points:
    """Place cells, some of them in clusters of 2 to 12.

    Parameters
    ----------
    sides_um : ndarray of float64, shape (n, 2)
        Height and width of each cell's box; its radius is a quarter of their sum.
    size_um : ndarray of float64, shape (2,)
        Height and width of the picture, which holds every box.
    share : float
        How many of the cells lie in clusters, 0 to 1; the first cells do.
    holds : callable
        Which of the (m, 2) points have blood round them, where cells may be.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, shape (n, 2)
        Centres. In a cluster the nearest of a cell's neighbours is at 0.75 to 1 of the sum of their radii, no
        other nearer than 0.75 of it; cells not of one cluster are apart.

    Raises
    ------
    OptionError
        The clusters do not fit.
    """
    radii = sides_um.sum(axis=1) / 4
    places = np.zeros_like(sides_um)
    placed: list[int] = []
    groups = np.split(np.arange(len(radii)), np.cumsum(_group_sizes(len(radii), share, rng))[:-1])
    # The largest first: they find no room between single cells.
    for group in sorted(groups, key=len, reverse=True):
        shape = _grown(radii[group], rng)
        for _ in range(_TRIES):
            places[group] = here = shape + rng.uniform(0, size_um)
            inside = _within(here, sides_um[group], size_um) and holds(here).all()
            if inside and _apart(places, radii, group, placed):
                break
        else:
            raise OptionError(
                f"{len(radii)} cells with {share:.0%} of them in clusters do not fit "
                f"{size_um[0]:.0f} × {size_um[1]:.0f} µm; ask for fewer cells or for a larger smear."
            )
        placed.extend(group.tolist())
    return places


def _group_sizes(n: int, share: float, rng: np.random.Generator) -> list[int]:
    """Sizes of the clusters, then of the single cells, ``n`` in all."""
    left, sizes = round(share * n), list[int]()
    while left >= 2:
        size = min(int(rng.integers(2, _MOST + 1)), left)
        # one that would be left alone: a cluster that can take it does, a full one gives one up
        size += (1 if size < _MOST else -1) * (left - size == 1)
        sizes.append(size)
        left -= size
    return sizes + [1] * (n - sum(sizes))


def _grown(radii: Points, rng: np.random.Generator) -> Points:
    """Centres (n, 2) of a cluster round its middle: each cell slides in until it meets one before it."""
    centres = np.zeros((len(radii), 2))
    for i in range(1, len(radii)):
        angle = rng.uniform(0, 2 * np.pi)
        way = np.array([np.sin(angle), np.cos(angle)])
        # a cell, not the middle itself, which the way might reach without meeting any
        goal = centres[np.linalg.norm(centres[:i] - centres[:i].mean(axis=0), axis=1).argmin()]
        reach = rng.uniform(*NEAR) * (radii[:i] + radii[i])
        # Where along the way each earlier cell is met: |goal + t·way - centre| = reach, the larger t.
        away = centres[:i] - goal
        along = away @ way
        square = along**2 - (away**2).sum(axis=1) + reach**2
        met = along[square >= 0] + np.sqrt(square[square >= 0])
        centres[i] = goal + met.max() * way
    middle: Points = centres - (centres.min(axis=0) + centres.max(axis=0)) / 2
    return middle


def _within(places: Points, sides_um: Points, size_um: Points) -> bool:
    half = sides_um / 2 + 0.5
    return bool((places >= half).all() and (places <= size_um - half).all())


def _apart(places: Points, radii: Points, group: NDArray[np.intp], placed: list[int]) -> bool:
    """Whether the cells of ``group`` leave a gap to all that were placed before."""
    distance = np.linalg.norm(places[group][:, None] - places[placed][None], axis=2)
    return bool((distance > radii[group][:, None] + radii[placed] + _GAP_UM).all())
