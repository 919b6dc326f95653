"""Classified cells as one points layer, and the table back from it. No viewer, no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Layer, Points
from numpy.typing import NDArray

from napari_deepheme.stats.differential import RULE
from napari_deepheme.taxonomy import CellClass, Taxonomy

LayerData = tuple[Any, dict[str, Any], str]

KEY = "deepheme"
"""Where a cells layer's metadata says what it is."""

CELL_UM = 14.0
"""Diameter of the disc drawn round a cell: a segmented neutrophil with a margin."""

_UNKNOWN_MPP = 0.25  # only for the size of the discs when a slide's µm/px is not known
_LEAST_PX = 5  # discs stay this large on the screen however far one zooms out
_POSITION_STEP = 0.005  # positions in the table are rounded to 0.01 px
_PLACEMENT = ("scale", "translate", "rotate", "shear", "affine", "units")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the cells of a layer come from.

    Attributes
    ----------
    taxonomy : Taxonomy
    slide : str
        Path of the slide, or of the table the cells were read from.
    bundle : str
        Name and version of the model; empty when not known.
    mpp : tuple of float or None
        µm/px of the slide, (y, x).
    matched : tuple of str or None
        What of the slide the calls were matched to; None when not known.
    """

    taxonomy: Taxonomy
    slide: str
    bundle: str = ""
    mpp: tuple[float, float] | None = None
    matched: tuple[str, ...] | None = None

    def metadata(self) -> dict[str, Any]:
        """As plain values for ``layer.metadata``."""
        return {KEY: asdict(self) | {"rule": RULE}}


def matched(stain: bool, prior: bool) -> tuple[str, ...]:
    """What the calls were matched to, as a person calls it."""
    return tuple(what for what, is_so in (("stain", stain), ("class prior", prior)) if is_so)


def origin_of(layer: Layer) -> Origin:
    """Read back what :meth:`Origin.metadata` wrote."""
    said = layer.metadata[KEY]
    classes = tuple(CellClass(**each) for each in said["taxonomy"]["classes"])
    taxonomy = Taxonomy(said["taxonomy"]["name"], classes)
    return Origin(taxonomy, said["slide"], said["bundle"], said["mpp"], said["matched"])


def is_cells(layer: Layer) -> bool:
    """Whether a layer holds classified cells of ours."""
    return isinstance(layer, Points) and KEY in layer.metadata and "label" in layer.features


def placement(image: Layer) -> dict[str, Any]:
    """Where an image layer lies in the world, as arguments of the layer drawn on it."""
    return {name: getattr(image, name) for name in _PLACEMENT}


def cells_layer(
    table: pd.DataFrame, origin: Origin, name: str, place: Mapping[str, Any] | None = None
) -> LayerData:
    """Describe the points layer of a table of cells.

    Parameters
    ----------
    table : DataFrame
        Columns of ``cells.csv``; becomes the layer's features, ``label`` as a category.
    origin : Origin
    name : str
        Name of the layer.
    place : mapping, optional
        Where the slide's image lies (:func:`placement`); by default its µm/px says it.

    Returns
    -------
    tuple
        Positions (n, 2), level-0 pixels (y, x), with the arguments of ``Points``.
    """
    options: dict[str, Any] = {
        "name": name,
        "features": _with_categories(table, origin.taxonomy),
        "size": CELL_UM / (origin.mpp or (_UNKNOWN_MPP, _UNKNOWN_MPP))[1],
        "canvas_size_limits": (_LEAST_PX, 10_000),
        "border_width": 0.1,
        "border_color": "label",
        "border_color_cycle": colours(origin.taxonomy),
        "face_color": "label",
        "face_color_cycle": colours(origin.taxonomy, opacity=0.25),
        "symbol": _symbols(table),
        "metadata": origin.metadata(),
    }
    return _positions(table), options | dict(place or _placed_by(origin.mpp)), "points"


def append_cells(layer: Points, table: pd.DataFrame) -> None:
    """Add cells to a layer, its features, colours and marks right for old and new."""
    more = _with_categories(table, origin_of(layer).taxonomy)
    features = pd.concat([layer.features, more], ignore_index=True)
    border = layer.border_width[0] if len(layer.data) else layer.current_border_width
    layer.data = np.concatenate([layer.data, _positions(table)])
    layer.features = features
    layer.border_width = border
    layer.symbol = _symbols(features)


def cells_of(layer: Points) -> pd.DataFrame:
    """Table of a layer's cells in the columns of ``cells.csv``, with what a person changed.

    A moved point gives its new position; a changed label is a person's.
    """
    table: pd.DataFrame = layer.features.copy()
    table["label"] = table["label"].astype(str)
    table.loc[_edited(table), "label_source"] = "person"
    moved = np.abs(layer.data - _positions(table)).max(axis=1, initial=0) > _POSITION_STEP
    if moved.any():
        table.loc[moved, ["y_px", "x_px"]] = layer.data[moved].round(2)
        table.loc[moved] = _with_um(table.loc[moved], origin_of(layer).mpp)
    return table


def mark_edits(layer: Points) -> None:
    """Say whose label it is where a person changed one, and colour the cells by their labels."""
    edited = _edited(layer.features)
    if edited.any():
        layer.features.loc[edited, "label_source"] = "person"
    layer.refresh_colors()


def has_edits(layer: Points) -> bool:
    """Whether a person changed a label."""
    return bool(_edited(layer.features).any() or (layer.features["label_source"] != "model").any())


def rescale(layer: Points, mpp: tuple[float, float]) -> None:
    """Follow a change of the slide's µm/px: discs, µm columns and what the layer says of itself."""
    layer.features = _with_um(layer.features, mpp)
    layer.size = CELL_UM / mpp[1]
    layer.metadata[KEY]["mpp"] = mpp


def colours(taxonomy: Taxonomy, opacity: float = 1.0) -> dict[str, NDArray[np.float32]]:
    """RGBA of each class code, 0 to 1."""
    return {c.code: np.array([*_rgb(c.colour), opacity], np.float32) for c in taxonomy.classes}


def _edited(table: pd.DataFrame) -> pd.Series[bool]:
    """Which labels differ from the model's call and are still said to be the model's."""
    differs = table["label"].astype(str) != table["class"].astype(str)
    return differs & (table["label_source"] == "model")


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _placed_by(mpp: tuple[float, float] | None) -> dict[str, Any]:
    unit = "um" if mpp else "pixel"
    return {"scale": mpp or (1.0, 1.0), "units": (unit, unit)}


def _positions(table: pd.DataFrame) -> NDArray[np.float64]:
    # a copy: napari writes into it when a person moves a point
    return table[["y_px", "x_px"]].to_numpy(np.float64, copy=True)


def _symbols(table: pd.DataFrame) -> NDArray[np.str_] | str:
    """Squares for cells that need a person, discs for the others."""
    review = table["needs_review"].to_numpy(bool)
    return np.where(review, "square", "disc") if len(review) else "disc"


def _with_categories(table: pd.DataFrame, taxonomy: Taxonomy) -> pd.DataFrame:
    """``label`` as a category: napari's features table then offers the classes, and no others."""
    return table.assign(label=pd.Categorical(table["label"], categories=list(taxonomy.codes)))


def _with_um(table: pd.DataFrame, mpp: tuple[float, float] | None) -> pd.DataFrame:
    y, x = mpp or (np.nan, np.nan)
    return table.assign(x_um=(table["x_px"] * x).round(3), y_um=(table["y_px"] * y).round(3))
