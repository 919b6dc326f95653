"""Differentials of tables: a ``cells.csv``, or anybody's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_deepheme.stats.counting import CountOptions
    from napari_deepheme.stats.differential import Differential


def differential_of_table(path: Path, counting: CountOptions) -> Differential:
    """Count the cells of a table, ours or one with a column of probabilities for each class.

    Raises
    ------
    TableError
        It is neither.
    """
    from napari_deepheme.export.files import is_cells_csv  # noqa: PLC0415  commands share no imports

    return _of_cells(path, counting) if is_cells_csv(path) else _of_predictions(path, counting)


def _of_cells(path: Path, counting: CountOptions) -> Differential:
    """Count a ``cells.csv`` by the labels that hold."""
    from napari_deepheme.export.counts import differential  # noqa: PLC0415
    from napari_deepheme.export.files import read_cells_csv  # noqa: PLC0415
    from napari_deepheme.export.table import taxonomy_of  # noqa: PLC0415

    table = read_cells_csv(path)
    return differential(table, taxonomy_of(table[table["label"] != ""]), counting, by_field=True)


def _of_predictions(path: Path, counting: CountOptions) -> Differential:
    """Count a table of probabilities by the most probable class of each row."""
    from napari_deepheme.evaluate.tables import read_probabilities, table_taxonomy  # noqa: PLC0415
    from napari_deepheme.stats.counting import CellFacts  # noqa: PLC0415
    from napari_deepheme.stats.differential import Differential  # noqa: PLC0415
    from napari_deepheme.stats.uncertainty import entropy  # noqa: PLC0415

    wide = read_probabilities(path)
    codes = np.array(wide.columns, object)
    labels = codes[wide.values.argmax(axis=1)]
    facts = CellFacts(probabilities=wide.values)
    return Differential.of(labels, entropy(wide.values), table_taxonomy(wide.columns), counting, facts)
