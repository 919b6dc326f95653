"""Bring the colours of a slide to those a model was trained on. No torch here.

Every smear holds three colours that can be known without knowing its cells: the empty glass, the red cells
and the nuclei. A linear map of optical densities takes those of the slide to the model's (the idea of
Reinhard 2001 and Macenko 2009, with landmarks in place of statistics of the whole image).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Densities = tuple[float, float, float]

FEWEST_CROPS = 16
_CENTRE, _FEWEST_PX = 0.375, 50
# sine of the angle between the densities of red cells and nuclei; below it they are one stain
_LEAST_CONTRAST = 0.1


class StainColours(BaseModel):
    """Optical densities (natural logarithm) of red, green and blue light.

    Attributes
    ----------
    glass : tuple of float
        Of the empty background.
    red_cell, nucleus : tuple of float
        Over that of the glass.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    glass: Densities
    red_cell: Densities
    nucleus: Densities


def stain_colours(crops: NDArray[np.uint8]) -> StainColours | None:
    """The colours of a slide, from crops around its nucleated cells.

    Parameters
    ----------
    crops : ndarray of uint8, shape (n, h, w, 3)

    Returns
    -------
    StainColours or None
        None from fewer than 16 crops, from fewer than 16 that show red cells, or where red cells and nuclei
        have one colour.
    """
    if len(crops) < FEWEST_CROPS:
        return None
    found = [_colours(crop) for crop in crops]
    glass, nucleus = (np.median([each[i] for each in found], axis=0) for i in (0, 1))
    share_of_red = nucleus[0] / nucleus.sum()
    red = [pixels for crop in crops if len(pixels := _red_cells(crop, glass, nucleus, share_of_red))]
    if len(red) < FEWEST_CROPS:
        return None
    red_cell = np.median(red, axis=0)
    sine = np.linalg.norm(np.cross(nucleus, red_cell)) / np.linalg.norm(nucleus) / np.linalg.norm(red_cell)
    if not sine > _LEAST_CONTRAST:
        return None
    return StainColours(
        glass=tuple(glass.tolist()),
        red_cell=tuple(red_cell.tolist()),
        nucleus=tuple(nucleus.tolist()),
    )


def stain_map(own: StainColours, wanted: StainColours) -> NDArray[np.float32]:
    """Matrix (3, 4) from densities and 1 to densities: ``own`` colours become ``wanted``."""
    turn = _basis(wanted) @ np.linalg.inv(_basis(own))
    shift = np.array(wanted.glass) - turn @ np.array(own.glass)
    return np.column_stack([turn, shift]).astype(np.float32)


def _density(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    density: NDArray[np.float32] = -np.log((image.reshape(-1, 3).astype(np.float32) + 1) / 256)
    return density


def _colours(crop: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Glass, and the densest twentieth of what lies over it."""
    density = _density(crop)
    glass = np.quantile(density, 0.1, axis=0)
    over = density - glass
    total = over.sum(axis=1)
    return glass, over[total >= np.quantile(total, 0.95)].mean(axis=0)


def _red_cells(
    crop: NDArray[np.uint8], glass: NDArray[np.float32], nucleus: NDArray[np.float32], share_of_red: float
) -> NDArray[np.float32]:
    """Median over the pixels around the cell that are stained, lightly, and not as blue as the nuclei."""
    height, width = crop.shape[:2]
    y, x = np.ogrid[:height, :width]
    outside = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2) > _CENTRE * height
    over = _density(crop[outside]) - glass
    total = over.sum(axis=1)
    full = nucleus.sum()
    lightly = (total > 0.12 * full) & (total < 0.6 * full)
    red = over[lightly & (over[:, 0] < 0.97 * share_of_red * total)]
    return np.median(red, axis=0) if len(red) > _FEWEST_PX else np.empty(0, np.float32)


def _basis(colours: StainColours) -> NDArray[np.float64]:
    """Red cells, nuclei, and what is neither, as columns."""
    red_cell, nucleus = np.array(colours.red_cell), np.array(colours.nucleus)
    neither = np.cross(nucleus, red_cell)
    return np.stack([red_cell, nucleus, neither / np.linalg.norm(neither) * np.linalg.norm(nucleus)], axis=1)
