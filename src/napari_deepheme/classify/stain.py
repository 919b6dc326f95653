"""Bring the colours of a slide to those a model was trained on. No torch here.

Every smear holds three colours that can be known without knowing its cells: the empty glass, the red cells
and the nuclei. A linear map of optical densities takes those of the slide to the model's (the idea of
Reinhard 2001 and Macenko 2009, with landmarks in place of statistics of the whole image).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict

Densities = tuple[float, float, float]

_CENTRE, _FEWEST_PX = 0.375, 50
_STRIDE = 2  # of the pixels that glass and nuclei are measured on
_LEAST_CONTRAST = 0.1  # below it red cells and nuclei are one stain
_LEAST_SHOWN = 1 / 16  # of the crops must show red cells; what few show may be anything


class StainMatching(StrEnum):
    """In which of the test-time views a slide is shown in the colours of the training cells.

    ``half``: in every second one, from the first on. Matching serves in some laboratories and harms in
    others; the mean of both is near the better one.
    """

    NONE = "none"
    HALF = "half"
    ALL = "all"

    def of_view(self, number: int) -> bool:
        """Whether this view, counted from 0, shows them."""
        return self is StainMatching.ALL or (self is StainMatching.HALF and number % 2 == 0)

    @property
    def words(self) -> str:
        """How a slide's stain is treated, to complete “the stain is …”."""
        return {"none": "taken as it is", "half": "matched in half of the views", "all": "matched"}[self]


def _matching(value: object) -> object:
    """Bundles and recipes of before version 8 of ``pbc-11`` say true or false."""
    if isinstance(value, bool):
        return StainMatching.ALL if value else StainMatching.NONE
    return value


Matching = Annotated[StainMatching, BeforeValidator(_matching)]
"""As bundles and recipes hold it."""


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
        None if there are no crops, fewer than one in 16 show red cells, or red cells and nuclei have one
        colour. A single crop is enough, for a field of view often has no more.
    """
    if not len(crops):
        return None
    glass, nucleus = (np.median(each, axis=0) for each in _glass_and_nuclei(crops))
    red = [pixels for crop in crops if len(pixels := _red_cells(crop, glass, nucleus))]
    if not red or len(red) < _LEAST_SHOWN * len(crops):
        return None
    red_cell = np.median(red, axis=0)
    found = StainColours(
        glass=tuple(glass.tolist()),
        red_cell=tuple(red_cell.tolist()),
        nucleus=tuple(nucleus.tolist()),
    )
    return found if contrast(found) > _LEAST_CONTRAST else None


def contrast(colours: StainColours) -> float:
    """Sine of the angle between the densities of red cells and nuclei: 0 where they are of one colour."""
    nucleus, red_cell = np.array(colours.nucleus), np.array(colours.red_cell)
    lengths = np.linalg.norm(nucleus) * np.linalg.norm(red_cell)
    return float(np.linalg.norm(np.cross(nucleus, red_cell)) / lengths) if lengths > 0 else 0.0


def stain_map(own: StainColours, wanted: StainColours) -> NDArray[np.float32]:
    """What brings a slide with ``own`` colours to the ``wanted`` ones.

    Returns
    -------
    ndarray of float32, shape (3, 4)
        Matrix from densities and 1 to densities.
    """
    turn = _basis(wanted) @ np.linalg.inv(_basis(own))
    shift = np.array(wanted.glass) - turn @ np.array(own.glass)
    return np.column_stack([turn, shift]).astype(np.float32)


def _density(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    density: NDArray[np.float32] = -np.log((image.astype(np.float32) + 1) / 256)
    return density


def _glass_and_nuclei(crops: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Of each crop the glass, and the densest twentieth of what lies over it; shape (n, 3) each."""
    some = crops[:, ::_STRIDE, ::_STRIDE]
    density = _density(some).reshape(len(some), some.shape[1] * some.shape[2], 3)
    glass = np.quantile(density, 0.1, axis=1)
    over = density - glass[:, None].astype(np.float32)
    total = np.einsum("nkc->nk", over)  # several times as fast as sum(axis=2)
    densest = total >= np.quantile(total, 0.95, axis=1, keepdims=True)
    weights = densest / densest.sum(axis=1, keepdims=True)
    nuclei = np.einsum("nkc,nk->nc", over, weights)
    return glass, nuclei


def _red_cells(
    crop: NDArray[np.uint8], glass: NDArray[np.floating], nucleus: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Median over the pixels around the cell that are stained, lightly, and not as blue as the nuclei."""
    height, width = crop.shape[:2]
    y, x = np.ogrid[:height, :width]
    outside = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2) > _CENTRE * height
    over = _density(crop[outside]) - glass
    total = over.sum(axis=1)
    full = nucleus.sum()
    lightly = (total > 0.12 * full) & (total < 0.6 * full)
    red = over[lightly & (over[:, 0] * full < 0.97 * nucleus[0] * total)]
    return np.median(red, axis=0) if len(red) > _FEWEST_PX else np.empty(0)


def _basis(colours: StainColours) -> NDArray[np.float64]:
    """Red cells, nuclei, and what is neither, as columns."""
    nucleus = np.array(colours.nucleus)
    neither = np.cross(nucleus, colours.red_cell)
    neither *= np.linalg.norm(nucleus) / np.linalg.norm(neither)
    return np.stack([np.array(colours.red_cell), nucleus, neither], axis=1)
