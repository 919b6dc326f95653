"""Parts of a slide a person points at: the current view, drawn shapes. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from napari.layers import Image, Layer, Shapes
from numpy.typing import NDArray

from napari_deepheme.cells import Region
from napari_deepheme.errors import OptionError

_ELLIPSE_CORNERS = 64
Points2D = NDArray[np.float64]


def view_region(image: Image, centre: tuple[float, ...], zoom: float, canvas_px: tuple[int, int]) -> Region:
    """Give the part of a slide that a 2-D canvas shows.

    Parameters
    ----------
    image : Image
        The slide's layer.
    centre : tuple of float
        Camera centre, world coordinates; the last two are (y, x).
    zoom : float
        Canvas pixels per world unit.
    canvas_px : tuple of int
        Rows and columns of the canvas.

    Raises
    ------
    OptionError
        Nothing of the slide is in view.
    """
    half = np.array(canvas_px) / (2 * zoom)
    corners = np.array(centre[-2:]) + half * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    outline = _transformed(corners, image.world_to_data)
    height, width = image_shape(image)
    (top, left), (bottom, right) = outline.min(axis=0), outline.max(axis=0)
    if top > height or left > width or bottom < 0 or right < 0:
        raise OptionError("The current view shows no part of the slide; press napari's home button.")
    return Region("view", outline)


def shape_regions(shapes: Shapes, image: Image) -> tuple[tuple[Region, ...], int]:
    """Give the shapes of a layer that count (:func:`counting_shapes`) as parts of a slide.

    Returns
    -------
    regions : tuple of Region
        Rectangles, ellipses and polygons, named by the layer's feature ``field``, else by their number.
    ignored : int
        How many lines and paths were left out: they enclose nothing.
    """
    counting = counting_shapes(shapes)
    drawn = ((i, _outline(shapes.data[i], str(shapes.shape_type[i]))) for i in counting)
    closed = {i: outline for i, outline in drawn if outline is not None}
    regions = tuple(
        Region(name, _transformed(outline, lambda yx: image.world_to_data(shapes.data_to_world(yx))))
        for name, outline in zip(_names(shapes, closed), closed.values(), strict=True)
    )
    return regions, len(counting) - len(regions)


def counting_shapes(shapes: Shapes) -> list[int]:
    """Which shapes count: the selected ones, else all, but where the layer says ``use`` only those.

    A shape that was just drawn is selected by napari, not by a person.
    """
    if shapes.selected_data and not str(shapes.mode).startswith("add"):
        return sorted(shapes.selected_data)
    if "use" not in shapes.features:
        return list(range(len(shapes.data)))
    return [int(i) for i in np.flatnonzero(shapes.features["use"].to_numpy(bool))]


def _names(shapes: Shapes, indices: Iterable[int]) -> list[str]:
    """A name for each shape; a copy of a field has that field's name and gets one of its own."""
    said = shapes.features["field"].astype(str) if "field" in shapes.features else None
    names: list[str] = []
    for i in indices:
        name = said.iloc[i] if said is not None else ""
        names.append(name if name and name not in names else f"shape {i + 1}")
    return names


def image_shape(image: Layer) -> tuple[int, int]:
    """Rows and columns of an image layer at its finest level."""
    data = image.data[0] if image.multiscale else image.data
    return int(data.shape[0]), int(data.shape[1])


def _outline(vertices: Points2D, kind: str) -> Points2D | None:
    yx = np.asarray(vertices, np.float64)[:, -2:]
    if kind == "ellipse":
        return _ellipse(yx)
    return yx if kind in ("rectangle", "polygon") else None


def _ellipse(box: Points2D) -> Points2D:
    """Polygon on the ellipse that touches the four sides of a (rotated) box, corners in order."""
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)[:, None]
    first, second = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    outline: Points2D = box.mean(axis=0) + np.cos(angle) * first + np.sin(angle) * second
    return outline


def _transformed(points: Iterable[Points2D], transform: Callable[[Points2D], object]) -> Points2D:
    return np.array([np.asarray(transform(point), np.float64)[-2:] for point in points])
