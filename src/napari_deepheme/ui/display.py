"""How cells are drawn on the slide: what their colour says, and their shape. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from napari.layers.points._points_constants import Symbol
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from napari_deepheme.taxonomy import Lineage, Taxonomy

NO_LABEL, NO_COLOUR = "", "#8c8c8c"
"""Of a cell that a person added and nobody named, or of which the model said nothing."""
COLORMAP = "viridis"

Colours = NDArray[np.float32]


class ColourBy(StrEnum):
    """What the colour of a cell says; the value is how a person calls it."""

    CLASS = "class"
    CONFIDENCE = "confidence"
    ENTROPY = "entropy"
    MUTUAL_INFORMATION = "mutual information"
    DISTANCE = "distance from the training cells"

    @property
    def column(self) -> str:
        """Where ``cells.csv`` has it."""
        return _COLUMNS[self]


_COLUMNS = {
    ColourBy.CLASS: "label",
    ColourBy.CONFIDENCE: "confidence",
    ColourBy.ENTROPY: "entropy",
    ColourBy.MUTUAL_INFORMATION: "mutual_information",
    ColourBy.DISTANCE: "ood_distance",
}


@dataclass(frozen=True, slots=True)
class Display:
    """What a person chose to see.

    Attributes
    ----------
    colour_by : ColourBy
    lineage_shapes : bool
        Whether a cell's shape says its lineage; else squares are the cells to review.
    legend : bool
        Whether the canvas shows what colours and shapes mean.
    """

    colour_by: ColourBy = ColourBy.CLASS
    lineage_shapes: bool = False
    legend: bool = True


DISC, TO_REVIEW = Symbol.DISC, Symbol.SQUARE

LINEAGE_SYMBOLS: Mapping[Lineage, Symbol] = {
    Lineage.GRANULOCYTIC: Symbol.DISC,
    Lineage.EOSINOPHILIC: Symbol.DIAMOND,
    Lineage.BASOPHILIC: Symbol.TRIANGLE_DOWN,
    Lineage.MONOCYTIC: Symbol.CLOBBER,
    Lineage.LYMPHOID: Symbol.SQUARE,
    Lineage.PLASMA: Symbol.ARROW,
    Lineage.ERYTHROID: Symbol.TRIANGLE_UP,
    Lineage.OTHER: Symbol.STAR,
}
"""Shapes whose outlines do not cross the middle of a cell, so that its nucleus stays to be seen."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values at the ends of the colour bar."""

    low: float
    high: float

    def colours(self, values: NDArray[np.float64]) -> Colours:
        """RGBA, 0 to 1; grey where there is no value."""
        shares = np.clip((values - self.low) / (self.high - self.low), 0, 1)
        known = np.isfinite(shares)
        rgba = np.array(ensure_colormap(COLORMAP).map(np.where(known, shares, 0)), np.float32)
        rgba[~known] = rgba_of(NO_COLOUR)
        return rgba


def scale_of(table: pd.DataFrame, by: ColourBy) -> Scale:
    """From 0 to what all but one in a hundred cells stay below; of confidence from 0 to 1."""
    values = table[by.column].to_numpy(np.float64) if by.column in table else np.zeros(0)
    values = values[np.isfinite(values)]
    if by is ColourBy.CONFIDENCE or not len(values):
        return Scale(0, 1)
    return Scale(0, max(float(np.quantile(values, 0.99)), 1e-6))


def class_colours(taxonomy: Taxonomy) -> dict[str, Colours]:
    """RGBA of each class code, 0 to 1."""
    known = {c.code: c.colour for c in taxonomy.classes} | {NO_LABEL: NO_COLOUR}
    return {code: rgba_of(colour) for code, colour in known.items()}


def rgba_of(colour: str) -> Colours:
    """A colour ``#rrggbb``, opaque."""
    return np.array([*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1], np.float32)


def cell_colours(
    table: pd.DataFrame, taxonomy: Taxonomy, by: ColourBy, scale: Scale | None = None
) -> Colours:
    """RGBA of each cell, shape (n, 4); ``scale`` is that of all cells where the table has some."""
    if by is not ColourBy.CLASS:
        values = table[by.column].to_numpy(np.float64) if by.column in table else np.full(len(table), np.nan)
        return (scale or scale_of(table, by)).colours(values)
    by_code = class_colours(taxonomy)
    lookup = np.array([by_code[code] for code in by_code])
    return lookup[_places(table["label"], list(by_code))].reshape(-1, 4)


def cell_symbols(table: pd.DataFrame, taxonomy: Taxonomy, display: Display) -> NDArray[np.object_]:
    """Symbol of each cell: of its lineage, or a square if a person should look."""
    if not display.lineage_shapes:
        review = table["needs_review"].to_numpy(bool)
        return np.array([DISC, TO_REVIEW], object)[review.astype(np.intp)]
    by_code = {c.code: LINEAGE_SYMBOLS[c.lineage] for c in taxonomy.classes} | {NO_LABEL: DISC}
    lookup = np.array(list(by_code.values()), object)
    return lookup[_places(table["label"], list(by_code))]


def _places(labels: pd.Series[str], codes: list[str]) -> NDArray[np.intp]:
    return pd.Index(codes).get_indexer(pd.Index(labels.to_numpy(object)))
