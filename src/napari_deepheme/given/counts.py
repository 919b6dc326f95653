"""Counts that people or programs made: tables of cells, differentials, manual counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from napari_deepheme.errors import TableError
from napari_deepheme.stats.readings import Reading
from napari_deepheme.tables import read_table
from napari_deepheme.taxonomy import PRESETS, codes_meant

_PLACE = ("x_px", "y_px")
_ROUND = 0  # cells of two tables are the same where their centres are within a pixel's rounding


def read_readings(path: Path) -> tuple[Reading, ...]:
    """Readings of a CSV file: a ``cells.csv``, a differential, or a manual count.

    A manual count has class names or codes in its first column and, in every other, one reader's cells; a
    differential has the columns ``class`` and ``count``.

    Raises
    ------
    TableError
        The file cannot be read, or is none of these.
    """
    table = read_table(path, _PLACE)
    if {"cell_id", "label", "x_px", "y_px"} <= set(table):
        return (reading_of_cells(table, path),)
    if {"class", "count"} <= set(table):
        return (Reading(path.stem, _counts(table["class"], table["count"], path)),)
    if table.shape[1] < 2 or table.empty:
        raise TableError(
            f"{path}: neither cells (cell_id, label …), nor a differential (class, count), nor a manual "
            "count with the classes in the first column and a reader's cells in each other."
        )
    names, readers = table.iloc[:, 0], table.columns[1:]
    stem = f"{path.stem}: " if len(readers) > 1 else f"{path.stem} "
    return tuple(Reading(f"{stem}{reader}", _counts(names, table[reader], path)) for reader in readers)


def reading_of_cells(table: pd.DataFrame, path: Path) -> Reading:
    """The reading of a table of cells, with their places; ``path`` names it.

    Cells without a label do not count.

    Raises
    ------
    TableError
        A position is missing, or a label is of no known taxonomy.
    """
    if table[list(_PLACE)].isna().to_numpy().any():
        raise TableError(
            f"{path}: x_px and y_px must hold a number in every row; correct or remove the others."
        )
    table = table[table["label"] != ""]
    x, y = (table[name].round(_ROUND) for name in _PLACE)
    labels = table["label"].tolist()
    _codes(labels, path)
    fields: dict[str, Counter[str]] = {}
    for region, label in zip(table.get("region", [""] * len(labels)), labels, strict=True):
        fields.setdefault(region, Counter())[label] += 1
    places = dict(zip(zip(x, y, strict=True), labels, strict=True))
    return Reading(path.stem, Counter(labels), places, fields)


def _counts(
    names: Sequence[str] | pd.Series, values: Sequence[str] | pd.Series, path: Path
) -> dict[str, int]:
    filled = [
        (str(name).strip(), str(value).strip() or "0") for name, value in zip(names, values, strict=True)
    ]
    filled = [(name, value) for name, value in filled if name]
    codes, counts = _codes([name for name, _ in filled], path), dict[str, int]()
    for code, (name, value) in zip(codes, filled, strict=True):
        if not re.fullmatch("[0-9]{1,9}", value):
            raise TableError(
                f"{path}: {name} has {value[:40]!r}; expected a number of cells, 0 to 999999999."
            )
        counts[code] = counts.get(code, 0) + int(value)
    return counts


def _codes(names: Sequence[str], path: Path) -> list[str]:
    """One code for each class name, all of one taxonomy: the first that has a class for every name."""
    unknown = set(names)
    for taxonomy in PRESETS.values():
        meant = {name: codes_meant(name, taxonomy) for name in set(names)}
        lacking = {name for name, codes in meant.items() if len(codes) != 1}
        if not lacking:
            return [meant[name][0] for name in names]
        unknown = min(unknown, lacking, key=len)
    raise TableError(
        f"{path}: no taxonomy has a class for {', '.join(sorted(unknown)[:5])}; expected codes or names of "
        f"{', '.join(PRESETS)}, such as M3 or Myelocyte."
    )
