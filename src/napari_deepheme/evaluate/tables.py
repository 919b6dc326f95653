"""Tables of other people's predictions, truth and labels; the first column names the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from napari_deepheme.datasets.labels import listed
from napari_deepheme.errors import TableError
from napari_deepheme.stats.metrics import Floats, Mask
from napari_deepheme.tables import read_table
from napari_deepheme.taxonomy import PRESETS, CellClass, Lineage, Taxonomy, codes_meant

SUM_TOLERANCE = 0.01
"""How far a row's probabilities may be from one: 23 of them rounded to three decimals reach it."""

_SHOWN = 5
_LABEL_COLUMNS = {"class", "label", "truth", "class_name"}


@dataclass(frozen=True, slots=True, eq=False)
class Wide:
    """A table of one number per image and class.

    Attributes
    ----------
    path : Path
    names : tuple of str
        The images, n of them.
    columns : tuple of str
        The classes, k of them.
    values : ndarray of float64, shape (n, k)
    """

    path: Path
    names: tuple[str, ...]
    columns: tuple[str, ...]
    values: Floats


def read_probabilities(path: Path) -> Wide:
    """Read a table of probabilities; rows are brought to a sum of exactly one.

    Raises
    ------
    TableError
        Not a table of at least two classes, a cell that is no probability, or a row that does not sum to one.
    """
    table = _read(path)
    if table.shape[1] < 2:
        raise TableError(f"{path}: expected a column per class after the image name, got {table.shape[1]}.")
    wide = _numbers(path, table)
    outside: Mask = np.abs(wide.values - 0.5).max(axis=1) > 0.5
    if outside.any():
        raise TableError(f"{path}: probabilities outside 0 to 1 in {_rows(wide.names, outside)}.")
    sums = wide.values.sum(axis=1)
    wrong = np.abs(sums - 1) > SUM_TOLERANCE
    if wrong.any():
        found = ", ".join(f"{value:.4g}" for value in sums[wrong][:_SHOWN])
        raise TableError(
            f"{path}: probabilities must sum to one in every row, but do not in {_rows(wide.names, wrong)} "
            f"(sums {found}); give softmax outputs."
        )
    return replace(wide, values=wide.values / sums[:, None])


def read_truth(path: Path, taxonomy: Taxonomy) -> dict[str, list[str]]:
    """Class names by image: of a table of class names, or of a one-hot table of the classes of ``taxonomy``.

    Images may come more than once; each has the list of its rows' labels.

    Raises
    ------
    TableError
        Neither kind of table, classes missing or more than predicted, a row without exactly one class.
    """
    table = _read(path)
    named = [name for name in table if str(name).casefold() in _LABEL_COLUMNS]
    if table.shape[1] == 1:
        labels = table.iloc[:, 0]
    else:
        labels = table[named[0]] if named else _one_hot(path, table, taxonomy)
    empty = (labels == "").to_numpy()
    if empty.any():
        raise TableError(f"{path}: no class in {_rows(tuple(table.index), empty)}.")
    truth: dict[str, list[str]] = {}
    for name, label in zip(table.index, labels, strict=True):
        truth.setdefault(name, []).append(label)
    return truth


def read_raters(path: Path) -> pd.DataFrame:
    """Labels of experts: indexed by image, a column per expert, "" where one gave none.

    Raises
    ------
    TableError
        No table, no expert, or an image twice.
    """
    table = _read(path)
    if table.shape[1] == 0:
        raise TableError(f"{path}: expected a column per expert after the image name, got none.")
    twice = table.index.duplicated()
    if twice.any():
        raise TableError(f"{path}: more than once: {_rows(tuple(table.index), twice)}.")
    return table


def table_taxonomy(columns: Iterable[str]) -> Taxonomy:
    """Classes of a table under the names it gives them, with what the presets know of each.

    A class no preset has is grey and of no lineage.
    """
    return Taxonomy("table", tuple(_class(column) for column in columns))


def _class(column: str) -> CellClass:
    for taxonomy in PRESETS.values():
        meant = codes_meant(column, taxonomy)
        known = taxonomy[meant[0]] if len(meant) == 1 else None
        if known and column.casefold() in {n.casefold() for n in (known.code, known.name, *known.aliases)}:
            return replace(known, code=column, aliases=(known.code, *known.aliases))
    return CellClass(column, column, Lineage.OTHER, "#8c8c8c")


def _read(path: Path) -> pd.DataFrame:
    """All cells as text, blanks stripped, indexed by the first column."""
    table = read_table(path)
    if table.empty:
        raise TableError(f"{path}: there is no row below the header.")
    return table.set_index(table.columns[0])


def _numbers(path: Path, table: pd.DataFrame) -> Wide:
    numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if not np.isfinite(numbers).all():
        row, column = np.argwhere(~np.isfinite(numbers))[0]
        raise TableError(
            f"{path}: {table.iloc[row, column]!r} in row {table.index[row]}, column {table.columns[column]} "
            "is not a number."
        )
    return Wide(path, tuple(table.index), tuple(table.columns), numbers)


def _one_hot(path: Path, table: pd.DataFrame, taxonomy: Taxonomy) -> pd.Series[str]:
    wide = _numbers(path, table)
    meant = [codes_meant(name, taxonomy) for name in wide.columns]
    columns = [codes[0] if len(codes) == 1 else name for codes, name in zip(meant, wide.columns, strict=True)]
    missing = [code for code in taxonomy.codes if code not in columns]
    unknown = [name for name in columns if name not in taxonomy.codes]
    for fault, names in (("lacks", missing), ("has, beyond the predictions,", unknown)):
        if names:
            raise TableError(
                f"{path}: the one-hot truth {fault} the classes {', '.join(names)}; the predictions have "
                f"{', '.join(taxonomy.codes)}."
            )
    wrong = ((wide.values != 0) & (wide.values != 1)).any(axis=1) | (wide.values.sum(axis=1) != 1)
    if wrong.any():
        raise TableError(
            f"{path}: expected a single 1 among zeros, which is not so in {_rows(wide.names, wrong)}."
        )
    return pd.Series([columns[i] for i in wide.values.argmax(axis=1)], index=table.index)


def _rows(names: tuple[str, ...], chosen: Mask) -> str:
    wrong = [name for name, is_wrong in zip(names, chosen, strict=True) if is_wrong]
    return f"row{'s' if len(wrong) > 1 else ''} {listed(wrong)}"
