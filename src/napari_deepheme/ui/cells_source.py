"""Cells that are known already: a points or labels layer as cells to classify. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from napari.layers import Image, Labels, Points
from numpy.typing import NDArray

from napari_deepheme.cells import Cells
from napari_deepheme.errors import OptionError
from napari_deepheme.ui.drawn import image_shape
from napari_deepheme.ui.slides import mpp_of

Column: TypeAlias = NDArray[np.float64]


def cells_from(layer: Points | Labels, image: Image) -> tuple[Cells, str]:
    """Take each point, or each label, as a cell of a slide.

    Parameters
    ----------
    layer : Points or Labels
        A cell is a point with its size, or the area that has one label; hidden ones count too.
    image : Image
        The slide's layer; both layers' places in the world are followed.

    Returns
    -------
    cells : Cells
        Of no region (-1) and with a score of 1; diameters are 0 where the slide's µm/px is not known.
    remark : str
        How many lie beside the slide and were left out, or nothing.

    Raises
    ------
    OptionError
        The layer has no cells, or none on the slide.
    """
    centres, diameters = _discs_of_points(layer) if isinstance(layer, Points) else _discs_of_labels(layer)
    if not len(centres):
        raise OptionError(f"The layer {layer.name} has no cells; put some into it, or let them be found.")
    yx, magnification = _on_slide(centres, layer, image)
    inside = _inside(yx, image_shape(image))
    if not inside.any():
        raise OptionError(
            f"No cell of the layer {layer.name} lies on the slide {image.name}; "
            "choose the slide they belong to."
        )
    mpp = mpp_of(image) or (0.0, 0.0)
    diameter_um = diameters * magnification * np.sqrt(mpp[0] * mpp[1])
    n = int(inside.sum())
    cells = Cells(yx[inside], diameter_um[inside], np.ones(n, np.float32), np.full(n, -1, np.int32))
    beside = len(inside) - n
    return cells, f"Cells of {layer.name} beside the slide, left out: {beside}." if beside else ""


def _discs_of_points(points: Points) -> tuple[Column, Column]:
    """Centres (n, 2) and diameters (n,) in pixels of the layer."""
    return np.asarray(points.data, np.float64)[:, -2:], np.asarray(points.size, np.float64)


def _discs_of_labels(labels: Labels) -> tuple[Column, Column]:
    """Centroids (n, 2) of the labels and the diameters (n,) of discs of their areas, pixels of the layer."""
    data = np.asarray(labels.data[0] if labels.multiscale else labels.data)
    if data.ndim != 2:
        raise OptionError(f"The layer {labels.name} has {data.ndim} dimensions; cells are labelled in two.")
    y, x = np.nonzero(data)
    _, which, area = np.unique(data[y, x], return_inverse=True, return_counts=True)
    centres = np.stack([np.bincount(which, weights=each, minlength=len(area)) for each in (y, x)], axis=1)
    return centres / area[:, None], 2 * np.sqrt(area / np.pi)


def _on_slide(centres: Column, layer: Points | Labels, image: Image) -> tuple[Column, float]:
    """Level-0 pixels of the slide, and how many of them a pixel of the layer is long (geometric mean)."""
    ndim = layer.ndim

    def transform(yx: tuple[float, float]) -> Column:
        place = (*np.zeros(ndim - 2), *yx)
        return np.asarray(image.world_to_data(layer.data_to_world(place)), np.float64)[-2:]

    origin, steps = _affine(transform)
    return origin + centres @ steps, float(np.sqrt(abs(np.linalg.det(steps))))


def _affine(transform: Callable[[tuple[float, float]], Column]) -> tuple[Column, Column]:
    """Origin and the images of the two unit steps: napari transforms one point at a time."""
    origin = transform((0.0, 0.0))
    return origin, np.stack([transform(step) - origin for step in ((1.0, 0.0), (0.0, 1.0))])


def _inside(yx: Column, shape: tuple[int, int]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.all((yx >= -0.5) & (yx < np.array(shape) - 0.5), axis=1)
    return inside
