"""What a detector is, and how its answers from overlapping tiles become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.detect.white import DEFAULT_WHITE, White

Image = NDArray[np.uint8]
Bounds = tuple[float, float, float, float]
"""Top, left, bottom, right."""

# detections of one cell in two tiles lie closer than two cells can
_SAME_CELL_UM = 2.5
# two tiles place the centre of one cell so far apart at most that each could take it for the other's
_BORDER_UM = 0.5


LOWEST_SCORE = 0.12
"""Finds are kept down to this score, so that the detection threshold can be moved after a run."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Cells found in one image, n of them.

    Attributes
    ----------
    yx : ndarray of float64, shape (n, 2)
        Centres in pixels of that image, pixel centres at integers.
    diameter_um : ndarray of float32, shape (n,)
        Diameter of the disc of the same area as what was segmented.
    score : ndarray of float32, shape (n,)
        0 to 1.
    """

    yx: NDArray[np.float64]
    diameter_um: NDArray[np.float32]
    score: NDArray[np.float32]

    def take(self, index: NDArray[np.intp]) -> Detections:
        """The detections at ``index``."""
        return Detections(self.yx[index], self.diameter_um[index], self.score[index])

    def above(self, threshold: float) -> Detections:
        """The detections with at least this score."""
        return self.take(np.flatnonzero(self.score >= threshold))

    def placed(self, origin: NDArray[np.float64], step: NDArray[np.float64]) -> Detections:
        """The detections on the slide, where the image begins at ``origin`` and has pixels ``step`` apart."""
        return Detections(origin + self.yx * step, self.diameter_um, self.score)


@dataclass(frozen=True, slots=True)
class DetectorCalibration:
    """What a detector measured on a slide before it searches it.

    Attributes
    ----------
    white : tuple of float
        RGB of the empty background, 0–255.
    nuclear : float
        Nuclear absorbance from which the stain detector takes a pixel for a nucleus.
    """

    white: White = DEFAULT_WHITE
    nuclear: float = 0.22


UNMEASURED = DetectorCalibration()
"""Of a slide that was not looked at."""


@dataclass(frozen=True, slots=True)
class DetectionThresholds:
    """Scores from which a find counts as a cell.

    Attributes
    ----------
    film : float
        Where cells lie apart.
    crowded : float
        Where they touch and overlap, as in marrow: their scores are lower there.
    """

    film: float
    crowded: float


class Detector(Protocol):
    """Finds cells in images of its own µm/px; the same for every slide."""

    @property
    def name(self) -> str:
        """Name and version, as an analysis records them."""

    @property
    def mpp(self) -> float:
        """µm/px of the images it wants."""

    @property
    def halo_um(self) -> float:
        """How far around a cell the image must reach for the cell to be found the same in every tile."""

    @property
    def batch_px(self) -> int:
        """Pixels of the images that are best given at once; of images that are larger, one at a time."""

    @property
    def thresholds(self) -> DetectionThresholds:
        """Scores from which its finds count."""

    def calibrate(self, samples: Sequence[Image]) -> DetectorCalibration:
        """Measure a slide on images of some of its fields."""

    def detect(self, images: Sequence[Image], calibration: DetectorCalibration = ...) -> list[Detections]:
        """Finds of every score it keeps in RGB images of shape (h, w, 3) of a slide."""


class TileMerge:
    """Makes one set of detections from tiles that overlap by a halo.

    A detection belongs to the tile whose core holds its centre; within half a micrometre outside, it is taken
    to lie on the border. Of a cell seen from two tiles, the first to come keeps it.

    Parameters
    ----------
    mpp : tuple of float
        µm per level-0 pixel (y, x).
    """

    def __init__(self, mpp: tuple[float, float]) -> None:
        self._mpp = np.array(mpp)
        self._borders = np.empty((0, 2))

    def remember(self, core: Bounds, yx: NDArray[np.float64]) -> None:
        """Take the cells (level-0 pixels) that were accepted of a tile in an earlier run as already there."""
        reach = _SAME_CELL_UM / self._mpp
        inner = ((yx > np.array(core[:2]) + reach) & (yx < np.array(core[2:]) - reach)).all(axis=1)
        self._borders = np.concatenate([self._borders, yx[~inner]])

    def own(self, core: Bounds, found: Detections) -> Detections:
        """Those of a tile's detections (level-0 pixels) that are its own, moved into its core."""
        top_left, bottom_right = np.array(core[:2]), np.array(core[2:])
        yx = np.clip(found.yx, top_left, np.nextafter(bottom_right, top_left))
        own = (np.abs(found.yx - yx) * self._mpp <= _BORDER_UM).all(axis=1)
        return replace(found, yx=yx).take(np.flatnonzero(own))

    def new(self, core: Bounds, yx: NDArray[np.float64]) -> NDArray[np.intp]:
        """Indices of a tile's own cells that no tile before it has; they are remembered from now on."""
        top_left, bottom_right = np.array(core[:2]), np.array(core[2:])
        reach = _SAME_CELL_UM / self._mpp
        near = ((self._borders > top_left - reach) & (self._borders < bottom_right + reach)).all(axis=1)
        gap = (yx[:, None] - self._borders[near]) * self._mpp
        seen = (np.hypot(gap[..., 0], gap[..., 1]) < _SAME_CELL_UM).any(axis=1)
        new = np.flatnonzero(~seen)
        self.remember(core, yx[new])
        return new
