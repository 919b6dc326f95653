"""Classified cells as one points layer, and the table back from it. No viewer, no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Layer, Points
from numpy.typing import NDArray

from napari_deepheme.analysis.result import Analysis
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.stats.differential import RULE
from napari_deepheme.taxonomy import CellClass, Taxonomy
from napari_deepheme.ui.display import NO_LABEL, ColourBy, Display, cell_colours, cell_symbols, scale_of
from napari_deepheme.ui.halo import CORRECTED_OUTLINE, OUTLINE
from napari_deepheme.ui.layer_keys import LayerKey
from napari_deepheme.ui.table_rows import write_rows

LayerData = tuple[Any, dict[str, Any], str]

CELL_UM = 14.0
"""Diameter of the disc drawn round a cell: a segmented neutrophil with a margin."""

_UNKNOWN_MPP = 0.25  # only for the size of the discs when a slide's µm/px is not known
_LEAST_PX = 5  # discs stay this large on the screen however far one zooms out
_POSITION_STEP = 0.005  # positions in the table are rounded to 0.01 px
_CORRECTED = ("label", "label_source", "x_px", "y_px", "x_um", "y_um")
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
        return {LayerKey.CELLS: asdict(self) | {"rule": RULE}}


def moved_to(analysis: Analysis, slide: SlidePath) -> Analysis:
    """The analysis of a slide whose file lies elsewhere now."""
    facts = analysis.facts
    return replace(analysis, facts=replace(facts, slide=replace(facts.slide, path=slide)))


def matched(stain: bool, prior: bool) -> tuple[str, ...]:
    """What the calls were matched to, as a person calls it."""
    return tuple(what for what, is_so in (("stain", stain), ("class prior", prior)) if is_so)


def origin_of(layer: Layer) -> Origin:
    """Read back what :meth:`Origin.metadata` wrote."""
    said = layer.metadata[LayerKey.CELLS]
    classes = tuple(CellClass(**each) for each in said["taxonomy"]["classes"])
    taxonomy = Taxonomy(said["taxonomy"]["name"], classes)
    return Origin(taxonomy, said["slide"], said["bundle"], said["mpp"], said["matched"])


def is_cells(layer: Layer) -> bool:
    """Whether a layer holds classified cells of ours."""
    return isinstance(layer, Points) and LayerKey.CELLS in layer.metadata and "label" in layer.features


def placement(image: Layer) -> dict[str, Any]:
    """Where an image layer lies in the world, as arguments of the layer drawn on it."""
    return {name: getattr(image, name) for name in _PLACEMENT}


def cells_layer(
    table: pd.DataFrame,
    origin: Origin,
    name: str,
    place: Mapping[str, Any] | None = None,
    taxonomy: Taxonomy | None = None,
    display: Display | None = None,
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
    taxonomy : Taxonomy, optional
        All classes in use; by default the model's.
    display : Display, optional
        What colours and shapes say.

    Returns
    -------
    tuple
        Positions (n, 2), level-0 pixels (y, x), with the arguments of ``Points``.
    """
    classes, chosen = taxonomy or origin.taxonomy, display or Display()
    some = len(table) > 0  # napari takes no empty colours
    rgba = cell_colours(table, classes, chosen.colour_by) if some else "white"
    options: dict[str, Any] = {
        "name": name,
        "features": _with_categories(table, classes),
        "size": _size_px(origin),
        "canvas_size_limits": (_LEAST_PX, 10_000),
        "border_width": _outlines(table) if some else OUTLINE,
        "border_color": rgba,
        "face_color": rgba,
        "symbol": cell_symbols(table, classes, chosen) if some else "disc",
        "metadata": replace(origin, taxonomy=classes).metadata(),
    }
    return _positions(table), options | dict(place or _placed_by(origin.mpp)), "points"


def fill_cells(
    layer: Points, table: pd.DataFrame, origin: Origin, taxonomy: Taxonomy, display: Display
) -> None:
    """Show other cells in a layer, in place: positions, features, colours and marks."""
    layer.metadata.update(replace(origin, taxonomy=taxonomy).metadata())
    size, positions = _size_px(origin), _positions(table)
    same = np.array_equal(layer.data, positions)
    # each of these would draw all points anew
    with layer.events.blocker_all():
        layer.selected_data = set()  # it may point beyond the end
        layer.current_size = size
        if not same:
            layer.data = positions
        layer.features = _with_categories(table, taxonomy)
        layer.size, layer.border_width = size, _outlines(table)
    paint_cells(layer, table, taxonomy, display)
    if not same:
        layer.events.data(value=layer.data, action="changed", data_indices=(), vertex_indices=((),))
    layer.events.features()


def paint_cells(layer: Points, table: pd.DataFrame, taxonomy: Taxonomy, display: Display) -> None:
    """Give all cells of a layer their colours and shapes."""
    with layer.events.blocker_all():
        if len(table):
            rgba = cell_colours(table, taxonomy, display.colour_by)
            layer.border_color, layer.face_color = rgba, rgba.copy()
            layer.symbol = cell_symbols(table, taxonomy, display)
    layer.refresh()


def colour_rows(
    layer: Points, table: pd.DataFrame, rows: NDArray[np.intp], taxonomy: Taxonomy, display: Display
) -> None:
    """Bring some rows of a layer up to date with those of a table of the same cells, but for the drawing."""
    some = table.iloc[rows]
    write_rows(layer.features, rows, some, _CORRECTED)
    by = display.colour_by
    scale = None if by is ColourBy.CLASS else scale_of(table, by)
    rgba = cell_colours(some, taxonomy, by, scale)
    # into napari's arrays: setting them as a whole takes a third of a second for 100,000 cells
    layer.border_color[rows] = layer.face_color[rows] = rgba
    layer.symbol[rows] = cell_symbols(some, taxonomy, display)
    layer.border_width[rows] = _outlines(some)
    layer.data[rows] = _positions(some)


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


def rescale(layer: Points, mpp: tuple[float, float]) -> None:
    """Follow a change of the slide's µm/px: discs, µm columns and what the layer says of itself."""
    layer.features = _with_um(layer.features, mpp)
    layer.size = CELL_UM / mpp[1]
    layer.metadata[LayerKey.CELLS]["mpp"] = mpp


def _edited(table: pd.DataFrame) -> pd.Series[bool]:
    """Which labels differ from the model's call and are still said to be the model's."""
    differs = table["label"].astype(str) != table["class"].astype(str)
    return differs & (table["label_source"] == "model")


def _placed_by(mpp: tuple[float, float] | None) -> dict[str, Any]:
    unit = "um" if mpp else "pixel"
    return {"scale": mpp or (1.0, 1.0), "units": (unit, unit)}


def _positions(table: pd.DataFrame) -> NDArray[np.float64]:
    # a copy: napari writes into it when a person moves a point
    return table[["y_px", "x_px"]].to_numpy(np.float64, copy=True)


def _outlines(table: pd.DataFrame) -> NDArray[np.float64]:
    """Wider where a person corrected the cell."""
    corrected = (table["label_source"] == "person").to_numpy(bool)
    return np.where(corrected, CORRECTED_OUTLINE, OUTLINE)


def _size_px(origin: Origin) -> float:
    return CELL_UM / (origin.mpp or (_UNKNOWN_MPP, _UNKNOWN_MPP))[1]


def _with_categories(table: pd.DataFrame, taxonomy: Taxonomy) -> pd.DataFrame:
    """``label`` as a category: napari's features table then offers the classes, and no others."""
    codes = list(taxonomy.codes)
    if (table["label"] == NO_LABEL).any():
        codes.append(NO_LABEL)
    return table.assign(label=pd.Categorical(table["label"], categories=codes))


def _with_um(table: pd.DataFrame, mpp: tuple[float, float] | None) -> pd.DataFrame:
    y, x = mpp or (np.nan, np.nan)
    return table.assign(x_um=(table["x_px"] * x).round(3), y_um=(table["y_px"] * y).round(3))
