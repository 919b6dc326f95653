"""Which cells are looked at, in which order, and how far one is. No Qt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_deepheme.adapt import suggest
from napari_deepheme.export.table import PERSON

Rows = NDArray[np.intp]

_BAND_PX = 512  # cells of one such band of the slide are read from left to right
MOST_SUGGESTED = 2000
"""Suggesting takes time in the square of the cells: beyond these, the most uncertain are ordered."""


class Show(StrEnum):
    """Which cells."""

    TO_REVIEW = "to review"
    """Those the ensemble is unsure of, those that were settled since among them."""
    WAITING = "still to review"
    CORRECTED = "corrected"
    """A person gave them another class than the model."""
    REVIEWED = "reviewed"
    """A person gave or confirmed their class."""
    ADDED = "added"
    AUDIT = "audit"
    """Those drawn at random for an audit."""
    ALL = "all"


class Order(StrEnum):
    """In which order."""

    UNCERTAINTY = "uncertainty"
    CONFIDENCE = "confidence"
    DISAGREEMENT = "disagreement"
    OOD = "unlike training"
    TEACHES = "what teaches most"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class CellFilter:
    """Which cells are looked at; empty texts let all through.

    Attributes
    ----------
    show : Show
    label : str
        Class code that counts for the cell.
    region : str
        Name of the region or field it lies in.
    """

    show: Show = Show.TO_REVIEW
    label: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class ClassProgress:
    """Cells of one class: how many there are, a person settled, and wait for a person."""

    total: int
    reviewed: int
    to_review: int


def settled_rows(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Which cells a person gave a label or confirmed it."""
    return (table["label_source"] == PERSON).to_numpy(bool)


def waiting_rows(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Which cells are to be reviewed and nobody has settled."""
    return table["needs_review"].to_numpy(bool) & ~settled_rows(table)


def matching(table: pd.DataFrame, wanted: CellFilter, audit: Collection[int] = ()) -> Rows:
    """Rows of a table in the columns of ``cells.csv`` that pass a filter, in its order.

    ``audit`` are the ids of the cells drawn for an audit.
    """
    if wanted.show is Show.AUDIT:
        passes = np.isin(table["cell_id"].to_numpy(np.int64), list(audit))
    else:
        passes = _shown(table, wanted.show)
    for column, value in (("label", wanted.label), ("region", wanted.region)):
        if value:
            passes = passes & (table[column] == value).to_numpy(bool)
    return np.flatnonzero(passes)


def ordered(table: pd.DataFrame, rows: Rows, order: Order) -> Rows:
    """Put rows into an order; equals stay as they were, cells without a figure come last.

    Parameters
    ----------
    table : DataFrame
        In the columns of ``cells.csv``.
    rows : ndarray of intp
    order : Order
    """
    part = table.iloc[rows]
    if order is Order.POSITION:
        return rows[_reading_order(part)]
    if order is Order.TEACHES:
        return _most_instructive(table, rows)
    first = _figures(part, order)
    return rows[np.lexsort([-part["entropy"].to_numpy(np.float64), first])]


def progress(table: pd.DataFrame) -> dict[str, ClassProgress]:
    """How far the review of each class is, by the labels that count now; the first seen comes first."""
    which, codes = pd.factorize(table["label"])
    numbers = [
        np.bincount(which[chosen], minlength=len(codes)).tolist()
        for chosen in (np.ones(len(table), bool), settled_rows(table), waiting_rows(table))
    ]
    return {str(code): ClassProgress(*each) for code, *each in zip(codes, *numbers, strict=True) if str(code)}


def _shown(table: pd.DataFrame, show: Show) -> NDArray[np.bool_]:
    if show is Show.TO_REVIEW:
        return table["needs_review"].to_numpy(bool)
    if show is Show.WAITING:
        return waiting_rows(table)
    if show is Show.REVIEWED:
        return settled_rows(table)
    if show is Show.ADDED:
        return table["cell_id"].to_numpy(np.int64) < 0
    if show is Show.CORRECTED:
        return settled_rows(table) & (table["label"] != table["class"]).to_numpy(bool)
    return np.ones(len(table), bool)


def _figures(part: pd.DataFrame, order: Order) -> NDArray[np.float64]:
    """What is sorted by, small first; NaN, which sorts last, where there is none."""
    column, sign = {
        Order.UNCERTAINTY: ("entropy", -1),
        Order.CONFIDENCE: ("confidence", 1),
        Order.DISAGREEMENT: ("agreement", 1),
        Order.OOD: ("ood_distance", -1),
    }[order]
    figures = sign * part[column].to_numpy(np.float64)
    if order is Order.DISAGREEMENT:
        # few members agree in few steps: the mutual information tells those apart
        figures = figures - 1e-3 * np.nan_to_num(part["mutual_information"].to_numpy(np.float64))
    return figures


def _reading_order(part: pd.DataFrame) -> Rows:
    y, x = part["y_px"].to_numpy(np.float64), part["x_px"].to_numpy(np.float64)
    return np.lexsort([x, y // _BAND_PX])


def _most_instructive(table: pd.DataFrame, rows: Rows) -> Rows:
    """The waiting cells among ``rows`` as suggested, then the others by uncertainty."""
    by_doubt = ordered(table, rows, Order.UNCERTAINTY)
    settled = settled_rows(table)
    known = np.isfinite(table["entropy"].to_numpy(np.float64))
    waiting = by_doubt[~settled[by_doubt] & known[by_doubt]][:MOST_SUGGESTED]
    context = np.concatenate([waiting, np.flatnonzero(settled & known)])
    columns = [name for name in table.columns if name.startswith("p_")]
    probabilities = table[columns].to_numpy(np.float64)[context]
    numbers = {name.removeprefix("p_"): number for number, name in enumerate(columns)}
    given = table["label"].astype(str).map(numbers).to_numpy(np.float64)[context]
    labels = np.where(np.isnan(given), probabilities.argmax(axis=1), given).astype(np.intp)
    # the table has the mean of the members alone
    chosen = context[suggest(probabilities[np.newaxis], labelled=settled[context], labels=labels)]
    rest = by_doubt[~np.isin(by_doubt, chosen)]
    return np.concatenate([chosen, rest])
