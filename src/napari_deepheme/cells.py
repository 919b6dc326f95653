"""Cells, regions and raw outputs as columns of arrays.

Coordinates are (y, x) in level-0 pixels with pixel centres at integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FARTHEST_PX = 1e9
"""No slide has so many pixels in a row; positions beyond are nonsense, and their squares no numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of a slide to analyse.

    Parameters
    ----------
    name : str
        What a person calls it; ends up in the ``region`` column.
    outline : ndarray of float64, shape (v, 2)
        Corners (y, x) in level-0 pixels of a simple polygon, at least three; a cut walked both ways may lead
        to a hole.
    """

    name: str
    outline: NDArray[np.float64]

    def __post_init__(self) -> None:
        outline = _frozen(self.outline, np.float64)
        if outline.ndim != 2 or outline.shape[1] != 2 or len(outline) < 3:
            raise ValueError(
                f"Region {self.name!r}: expected at least three (y, x) corners, got shape {outline.shape}"
            )
        if not (np.abs(outline) < FARTHEST_PX).all():  # NaN neither
            raise ValueError(f"Region {self.name!r}: expected corners in level-0 pixels")
        object.__setattr__(self, "outline", outline)

    @classmethod
    def box(cls, name: str, top: float, left: float, bottom: float, right: float) -> Region:
        """Rectangle between two corners, level-0 pixels."""
        corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
        return cls(name, np.array(corners, np.float64))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Top, left, bottom and right in level-0 pixels."""
        (top, left), (bottom, right) = self.outline.min(axis=0), self.outline.max(axis=0)
        return float(top), float(left), float(bottom), float(right)

    def contains(self, yx: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the (n, 2) points lie inside."""
        if len(yx) == 0:
            return np.zeros(0, bool)
        from skimage.measure import points_in_poly  # noqa: PLC0415  half a second, and only regions need it

        inside: NDArray[np.bool_] = points_in_poly(yx, self.outline)
        return inside


def first_region(regions: tuple[Region, ...], yx: NDArray[np.float64]) -> NDArray[np.int32]:
    """Index of the first region that holds each point, -1 for none."""
    index = np.full(len(yx), -1, np.int32)
    for i in range(len(regions) - 1, -1, -1):
        index[regions[i].contains(yx)] = i
    return index


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Nucleated cells found on a slide, n of them.

    Parameters
    ----------
    yx : ndarray of float64, shape (n, 2)
        Centres, level-0 pixels.
    diameter_um : ndarray of float32, shape (n,)
        Diameter of the disc with the area of what the detector saw (the nucleus, for the stain detector);
        0 where it is not known.
    score : ndarray of float32, shape (n,)
        The detector's own score, 0 to 1.
    region : ndarray of int32, shape (n,)
        Index of the region each cell was found in.
    """

    yx: NDArray[np.float64]
    diameter_um: NDArray[np.float32]
    score: NDArray[np.float32]
    region: NDArray[np.int32]

    def __post_init__(self) -> None:
        for name, dtype in (
            ("yx", np.float64),
            ("diameter_um", np.float32),
            ("score", np.float32),
            ("region", np.int32),
        ):
            object.__setattr__(self, name, _frozen(getattr(self, name), dtype))
        if self.yx.shape != (len(self.score), 2):
            raise ValueError(f"Cells: yx has shape {self.yx.shape}, expected ({len(self.score)}, 2)")
        if not len(self.diameter_um) == len(self.score) == len(self.region):
            raise ValueError("Cells: columns differ in length")

    def __len__(self) -> int:
        return len(self.score)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Cells:
        """The cells at ``index``, in its order."""
        return Cells(*(getattr(self, column.name)[index] for column in fields(self)))

    @classmethod
    def empty(cls) -> Cells:
        """No cells."""
        return cls(np.zeros((0, 2)), np.zeros(0, np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))

    @classmethod
    def concatenate(cls, parts: Sequence[Cells]) -> Cells:
        """All cells of ``parts``, in order."""
        if not parts:
            return cls.empty()
        return cls(
            *(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls))
        )


@dataclass(frozen=True, slots=True, eq=False)
class RawOutputs:
    """What the members of an ensemble say of n cells, before anything is made of it.

    These are the facts that an analysis stores. Calls, calibrated probabilities and uncertainties are
    computed from them by :func:`napari_deepheme.stats.assessment.assess`.

    Parameters
    ----------
    members : ndarray of float16, shape (m, n, k)
        Probabilities of each member, the mean over its test-time views; each row sums to one, or holds NaN
        where a cascade did not ask that member (the first is always asked). Half precision, as they are
        stored, so that an analysis in memory and one read from disk are the same.
    distance : ndarray of float32, shape (n,)
        Out-of-distribution distance (see :mod:`napari_deepheme.classify.ood`), by the members asked; NaN
        where the model has none.
    """

    members: NDArray[np.float16]
    distance: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", _frozen(self.members, np.float16))
        object.__setattr__(self, "distance", _frozen(self.distance, np.float32))
        if self.members.ndim != 3 or self.members.shape[1] != len(self.distance):
            raise ValueError(
                f"RawOutputs: members {self.members.shape} do not fit {len(self.distance)} distances"
            )

    def __len__(self) -> int:
        return len(self.distance)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> RawOutputs:
        """The cells at ``index``, in its order."""
        return RawOutputs(self.members[:, index], self.distance[index])

    @classmethod
    def empty(cls, members: int, classes: int) -> RawOutputs:
        """Of no cells."""
        return cls(np.zeros((members, 0, classes), np.float16), np.zeros(0, np.float32))

    @classmethod
    def concatenate(cls, parts: Sequence[RawOutputs]) -> RawOutputs:
        """All cells of ``parts`` (at least one), in order."""
        return cls(
            np.concatenate([part.members for part in parts], axis=1),
            np.concatenate([part.distance for part in parts]),
        )


def _frozen(array: NDArray[np.generic], dtype: type[np.generic]) -> NDArray[np.generic]:
    """A read-only view or copy of ``array`` as ``dtype``."""
    result = np.asarray(array, dtype).view()
    result.flags.writeable = False
    return result
