"""Rows of a session's table, brought up to date in place or put where they belong. No Qt."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_MOVED = ("label", "label_source", "needs_review", "review_reason", "x_px", "y_px", "x_um", "y_um")
"""The columns that a correction of a cell changes."""


def rows_of(table: pd.DataFrame, ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """Rows with these cells, in the table's order."""
    return np.flatnonzero(np.isin(table["cell_id"].to_numpy(), ids))


def renewed(table: pd.DataFrame, fresh: pd.DataFrame, ids: NDArray[np.int64]) -> pd.DataFrame:
    """A table in which the rows of some cells are as in ``fresh``; they may come or go.

    Where all stay, the table given is changed and is the one returned.

    Parameters
    ----------
    table, fresh : DataFrame
        In the columns of ``cells.csv``.
    ids : ndarray of int64
        The cells concerned; those that ``fresh`` lacks are gone.
    """
    rows = rows_of(table, ids)
    here, now = table["cell_id"].to_numpy()[rows], fresh["cell_id"].to_numpy()
    staying = np.isin(here, now)
    if staying.any():
        order = pd.Index(now).get_indexer(here[staying])
        write_rows(table, rows[staying], fresh.iloc[order], _MOVED)
    if not staying.all():
        table = without(table, rows[~staying])
    return appended(table, fresh[~np.isin(now, here)])


def write_rows(
    table: pd.DataFrame, rows: NDArray[np.intp], fresh: pd.DataFrame, columns: Iterable[str]
) -> None:
    """Write some columns of ``fresh``, a row for each of ``rows``, into a table."""
    for name in columns:
        values = fresh[name].to_numpy()
        # writing into a column of texts copies all of it
        if not np.array_equal(table[name].iloc[rows].to_numpy(), values):
            table.loc[rows, name] = values


def without(table: pd.DataFrame, rows: NDArray[np.intp]) -> pd.DataFrame:
    """Without some rows."""
    kept = np.ones(len(table), bool)
    kept[rows] = False
    return table[kept].reset_index(drop=True)


def appended(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """With more rows: found cells first, then those added, each in the order they came."""
    if not len(rows):
        return table
    parts = [table, rows] if len(table) else [rows]
    table = pd.concat(parts, ignore_index=True)
    ids = table["cell_id"].to_numpy(np.int64)
    order = np.lexsort((np.abs(ids), ids < 0))
    in_order = np.array_equal(order, np.arange(len(ids)))
    return table if in_order else table.iloc[order].reset_index(drop=True)
