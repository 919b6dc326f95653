"""A cascade: members are asked one after another, until the call of a cell is settled. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.cells import RawOutputs

Ask = Callable[[int, NDArray[np.intp]], tuple[NDArray[np.floating], NDArray[np.floating]]]
"""What a member says of the cells at some indices: probabilities (n, k) and distance (n,)."""


@dataclass(frozen=True, slots=True)
class Settling:
    """When the call of a cell is settled.

    Attributes
    ----------
    threshold : float
        Probability of the call, in the mean of the members asked, from which no further one is asked.
    farthest : float
        Out-of-distribution distance beyond which every member is asked, however sure the first are: of cells
        unlike the training cells the members tell most by how they differ.
    """

    threshold: float
    farthest: float = np.inf


def ask_in_turn(ask: Ask, members: int, cells: int, settling: Settling) -> RawOutputs:
    """Ask one member after the other, each of the cells that the ones before did not settle.

    Whole members, not single test-time views: a member's features, and so its distance, are means over its
    views, and those of one view alone would make cells look stranger than they are.

    Parameters
    ----------
    ask : callable
        The first member is asked even if there is no cell, so that the answer has a shape.
    members, cells : int
        How many there are.
    settling : Settling

    Returns
    -------
    RawOutputs
        NaN for the members that were not asked; the distance is the mean of those that were.
    """
    unsettled = np.arange(cells)
    first, distance = ask(0, unsettled)
    said = np.full((members, *first.shape), np.nan, np.float32)
    distances = np.full((members, cells), np.nan, np.float32)
    said[0], distances[0] = first, distance
    for asked in range(1, members):
        sure = said[:asked, unsettled].mean(axis=0).max(axis=1) >= settling.threshold
        far = distances[:asked, unsettled].mean(axis=0) > settling.farthest
        unsettled = unsettled[~sure | far]
        if not len(unsettled):
            break
        said[asked, unsettled], distances[asked, unsettled] = ask(asked, unsettled)
    answered = ~np.isnan(said[:, :, 0])
    mean = np.where(answered, distances, 0).sum(axis=0) / answered.sum(axis=0)
    return RawOutputs(said.astype(np.float16), mean)


def passes(raw: RawOutputs) -> float:
    """Share of the members' answers that were asked for; 1 without a cascade."""
    return float((~np.isnan(raw.members[:, :, 0])).mean())
