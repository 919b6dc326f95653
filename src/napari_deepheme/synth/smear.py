"""A whole smear as numbers: how large, which cells, where; nothing is rendered here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from napari_deepheme.errors import OptionError
from napari_deepheme.synth.cell import Plan, plan
from napari_deepheme.synth.clusters import clustered_places
from napari_deepheme.synth.looks import CLASS_CODES
from napari_deepheme.synth.stain import Stain

LEFT_SHIFT: tuple[tuple[str, float], ...] = (
    ("M6", 0.30), ("L2", 0.16), ("M5", 0.10), ("MO2", 0.085), ("M4", 0.07),
    ("M3", 0.07), ("M2", 0.055), ("EBO", 0.06), ("E4", 0.05), ("B2", 0.05),
)  # fmt: skip
"""Shares of a blood with a left shift, in which no class is too rare to look at."""

PITCH_UM = 22.0
"""Least distance between the centres of two nucleated cells outside clusters: no cell is wider."""

_MAX_SIDE, _MAX_CELLS = 200_000, 2_000_000
_BUMP_UM = 110.0  # over which the density of the red cells changes
_BODY_FROM_UM = 3000.0  # smaller pictures show one field of a smear, larger ones the smear with its edges


@dataclass(frozen=True, slots=True)
class SmearSpec:
    """A smear to render; the same values always give the same pixels.

    Parameters
    ----------
    shape : tuple of int
        Height and width in pixels.
    n_cells : int
        Nucleated cells.
    seed : int
        Decides everything else, at least 0.
    mpp : float
        µm per pixel, 0.05 to 2.
    mix : tuple of (str, float)
        Class codes and their shares, in any unit.
    stain : Stain, optional
        A random one, by the seed, without it.
    clustered : float
        Share of the nucleated cells, 0 to 1, in clusters of 2 to 12 in which neighbours touch or overlap.

    Raises
    ------
    OptionError
        If a value is out of range or the cells do not fit.
    """

    shape: tuple[int, int]
    n_cells: int
    seed: int = 0
    mpp: float = 0.25
    mix: tuple[tuple[str, float], ...] = field(default=LEFT_SHIFT)
    stain: Stain | None = None
    clustered: float = 0.0

    def __post_init__(self) -> None:
        height, width = self.shape
        if height < 1 or width < 1:
            raise OptionError(
                f"A smear of {height} × {width} px cannot be rendered; both sides must be at least 1."
            )
        if max(height, width) > _MAX_SIDE or self.n_cells > _MAX_CELLS:
            raise OptionError(
                f"A smear of {height} × {width} px with {self.n_cells} cells cannot be rendered; "
                f"sides may be {_MAX_SIDE} px at most, and cells {_MAX_CELLS}."
            )
        if not 0.05 <= self.mpp <= 2:
            raise OptionError(f"A smear cannot be rendered at {self.mpp} µm/px; expected 0.05 to 2.")
        if not 0 <= self.clustered <= 1:
            raise OptionError(f"The share of cells in clusters is {self.clustered}; expected 0 to 1.")
        if self.seed < 0 or self.n_cells < 0:
            raise OptionError(
                f"A smear needs a seed and a count of cells of 0 or more, not {self.seed} and {self.n_cells}."
            )
        unknown = sorted({code for code, _ in self.mix} - set(CLASS_CODES))
        if unknown:
            raise OptionError(
                f"Class {unknown[0]!r} cannot be rendered; expected some of {', '.join(CLASS_CODES)}."
            )
        if any(share < 0 for _, share in self.mix) or sum(share for _, share in self.mix) <= 0:
            raise OptionError("The classes' shares of a smear must be 0 or more and not all 0.")
        most = int(height * self.mpp // PITCH_UM) * int(width * self.mpp // PITCH_UM)
        if self.n_cells > most:
            raise OptionError(
                f"{self.n_cells} cells do not fit {height} × {width} px at {self.mpp:g} µm/px; "
                f"ask for at most {most} or for a larger smear."
            )

    def settled_stain(self) -> Stain:
        """The smear's stain: the one asked for or the seed's."""
        return self.stain or Stain.random(np.random.default_rng([self.seed, 0]))


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Where on the glass there is blood, and how thick.

    Large smears are a tongue with wavy edges; small ones are covered all over.
    """

    size_um: tuple[float, float]
    phases: NDArray[np.float64]
    bumps: NDArray[np.float64]
    tongue: bool

    def cover(self, yx_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the red cells' places that are taken, 0 on bare glass, at points (n, 2) in µm."""
        places = yx_um.T / _BUMP_UM + 1
        cover = 0.80 + 0.13 * map_coordinates(self.bumps, places, order=1, mode="nearest")
        if self.tongue:
            cover = cover * np.clip(self._inside(yx_um) / 0.04, 0, 1)
        share: NDArray[np.float64] = np.clip(cover, 0, 0.97)
        return share

    def holds(self, yx_um: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points have blood all round them."""
        return self._inside(yx_um) > 0.04 if self.tongue else np.ones(len(yx_um), bool)

    def _inside(self, yx_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance to the tongue's edge, in slide widths, positive inside."""
        v, u = yx_um[:, 0] / self.size_um[0] - 0.5, yx_um[:, 1] / self.size_um[1]
        p = self.phases
        wave = 0.012 * np.sin(21 * u + p[0]) + 0.006 * np.sin(57 * u + p[1])
        half = (0.40 + wave) * np.sqrt(np.clip(1 - np.clip((u - 0.45) / 0.48, 0, 1) ** 2, 0, 1))
        side: NDArray[np.float64] = np.minimum(half - np.abs(v), u - 0.07 - 0.01 * np.sin(17 * v + p[2]))
        return side


def body(spec: SmearSpec) -> Body:
    """The smear's body."""
    size = (spec.shape[0] * spec.mpp, spec.shape[1] * spec.mpp)
    rng = np.random.default_rng([spec.seed, 1])
    phases = rng.uniform(0, 2 * np.pi, 3)
    bumps = rng.normal(0, 1, (int(size[0] / _BUMP_UM) + 4, int(size[1] / _BUMP_UM) + 4))
    return Body(size, phases, bumps, min(size) >= _BODY_FROM_UM)


@lru_cache(maxsize=2)
def plans(spec: SmearSpec) -> tuple[Plan, ...]:
    """Geometry of every cell, in the order of the truth table."""
    codes = _codes(spec)
    return tuple(plan(code, np.random.default_rng([spec.seed, 2, index])) for index, code in enumerate(codes))


def truth(spec: SmearSpec) -> pd.DataFrame:
    """Where every nucleated cell of a smear lies and what it is.

    Returns
    -------
    DataFrame
        ``cell`` (a number from 0), ``y_px``, ``x_px`` (middle of the bounding box, level-0 pixels, pixel
        centres at integers), ``height_px``, ``width_px`` and ``deepheme_code``.
    """
    cells = plans(spec)
    sides = np.array([(cell.height_um, cell.width_um) for cell in cells]).reshape(-1, 2) / spec.mpp
    centres = _centres(spec, sides)
    return pd.DataFrame(
        {
            "cell": np.arange(len(cells)),
            "y_px": centres[:, 0],
            "x_px": centres[:, 1],
            "height_px": np.ceil(sides[:, 0]).astype(int),
            "width_px": np.ceil(sides[:, 1]).astype(int),
            "deepheme_code": [cell.code for cell in cells],
        }
    )


def _codes(spec: SmearSpec) -> list[str]:
    """Class of every cell: the shares rounded by largest remainder, in random order."""
    shares = np.array([share for _, share in spec.mix], float)
    wanted = shares / shares.sum() * spec.n_cells
    counts = np.floor(wanted).astype(int)
    short = spec.n_cells - counts.sum()
    counts[np.argsort(counts - wanted, kind="stable")[:short]] += 1
    codes = np.repeat([code for code, _ in spec.mix], counts)
    return [str(code) for code in np.random.default_rng([spec.seed, 3]).permutation(codes)]


def _centres(spec: SmearSpec, sides: NDArray[np.float64]) -> NDArray[np.int64]:
    """Centres (n, 2) in whole pixels, every box within the picture; the pitch apart, but for clusters."""
    if spec.clustered:
        size, rng = np.array(spec.shape) * spec.mpp, np.random.default_rng([spec.seed, 9])
        places = clustered_places(sides * spec.mpp, size, spec.clustered, body(spec).holds, rng)
    else:
        places = _pitched(spec, np.random.default_rng([spec.seed, 4]))
    low = np.ceil(sides / 2)
    centres = np.rint(places[: spec.n_cells] / spec.mpp)
    return np.clip(centres, low, np.array(spec.shape) - 1 - low).astype(np.int64)


def _pitched(spec: SmearSpec, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (µm), enough for all cells, no two nearer than the pitch."""
    places = _thrown(spec, rng)
    return places if len(places) >= spec.n_cells else _slotted(spec, rng)


def _thrown(spec: SmearSpec, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (µm) thrown at the smear's body, leaving out those too near an earlier one."""
    size = np.array(spec.shape) * spec.mpp
    points = rng.uniform(PITCH_UM / 2, size - PITCH_UM / 2, (6 * spec.n_cells, 2))
    points = points[body(spec).holds(points)]
    if len(points) == 0:
        return points
    keep = np.ones(len(points), bool)
    pairs = cKDTree(points).query_pairs(PITCH_UM, output_type="ndarray")
    for first, second in pairs[np.argsort(pairs[:, 0], kind="stable")].tolist():
        if keep[first]:
            keep[second] = False
    return points[keep]


def _slotted(spec: SmearSpec, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (µm) in rows and columns, for a picture too full to throw them at."""
    size = np.array(spec.shape) * spec.mpp
    counts = np.floor(size / PITCH_UM).astype(int)
    rows, cols = np.meshgrid(*(np.arange(count) for count in counts), indexing="ij")
    slots = (np.stack([rows.ravel(), cols.ravel()], axis=1) + 0.5) * (size / np.maximum(counts, 1))
    return rng.permutation(slots)
