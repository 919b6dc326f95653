"""Cells painted in the colours of other smears, so that none is known by its stain, lamp or camera.

The glass and the red cells are those of 196 fields of Chula RBC-12 (Naruenatthanaset et al. 2021,
arXiv:2012.01321), measured by ``scripts/measure_colours.py``. Those fields show no nuclei; the nuclei follow
the red cells part of the way, and wander a little by themselves.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import torch
from numpy.typing import NDArray

from napari_deepheme.classify.stain import StainColours, contrast, stain_map

COLOURS_FILE = "colours.csv"

_LEAST_CONTRAST = 0.12  # where red cells and nuclei have nearly one colour, the map would tear them apart
_NUCLEUS_STRENGTH = (-0.4, 0.15)  # logarithm of the factor
_FOLLOWS, _WANDER = 0.5, 0.08


def smear_colours() -> NDArray[np.float64]:
    """Optical densities of the glass, and over it of the red cells, of each smear; shape (n, 2, 3)."""
    with (files(__package__) / COLOURS_FILE).open(encoding="utf-8") as file:
        return np.loadtxt(file, delimiter=",", skiprows=1).reshape(-1, 2, 3)


class Painter:
    """Paints cells of one laboratory in the colours of others.

    Parameters
    ----------
    own : StainColours
        Of the cells to be painted.
    """

    def __init__(self, own: StainColours) -> None:
        self._own = own
        self._smears = smear_colours()

    def painted(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Images (n, 3, h, w), 0 to 1, each in the colours of a smear drawn for it."""
        maps = torch.from_numpy(np.stack([stain_map(self._own, self._colours(rng)) for _ in images]))
        density = -torch.log(images.clamp(min=1 / 255)).flatten(2)
        density = torch.baddbmm(maps[..., 3:], maps[..., :3], density)
        return torch.exp(-density.clamp(min=-0.05)).clamp(0, 1).view_as(images)

    def _colours(self, rng: np.random.Generator) -> StainColours:
        glass, red_cell = self._smears[rng.integers(len(self._smears))]
        red_cell = red_cell * np.exp(rng.normal(0, 0.05, 3))
        colours = StainColours(
            glass=tuple(glass), red_cell=tuple(red_cell), nucleus=tuple(self._nucleus(red_cell, rng))
        )
        return colours if contrast(colours) > _LEAST_CONTRAST else self._own

    def _nucleus(self, red_cell: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        own = np.array(self._own.nucleus)
        change = (red_cell / np.array(self._own.red_cell)).clip(0.4, 2.5)
        hue = own * change ** rng.uniform(0, _FOLLOWS) * np.exp(rng.normal(0, _WANDER, 3))
        strength = np.linalg.norm(own) * np.exp(rng.uniform(*_NUCLEUS_STRENGTH))
        nucleus: NDArray[np.float64] = hue / np.linalg.norm(hue) * strength
        return nucleus
