"""The differential count: how many of each class, with the sampling error of each percentage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from napari_deepheme.taxonomy import CellClass, Taxonomy

RULE = "ICSH 2008"
"""Nucleated differential count: a cell of a class left out is dropped, not given its second-best class."""


@dataclass(frozen=True, slots=True)
class DifferentialRow:
    """One class of the differential.

    Attributes
    ----------
    cell_class : CellClass
    count : int
    fraction, low, high : float
        Share of the counted cells and its 95 % Wilson interval; nan for a class that is not counted or
        when nothing was.
    mean_entropy : float
        Mean uncertainty of the class's cells, nats; nan without cells.
    """

    cell_class: CellClass
    count: int
    fraction: float
    low: float
    high: float
    mean_entropy: float


@dataclass(frozen=True, slots=True)
class Differential:
    """Counts and percentages of every class of a taxonomy, in its order.

    The intervals hold the sampling error alone: a classifier's confusions do not shrink with more cells.
    """

    n_cells: int
    n_counted: int
    rows: tuple[DifferentialRow, ...]

    @classmethod
    def of(cls, labels: Sequence[str], entropy: NDArray[np.float64], taxonomy: Taxonomy) -> Differential:
        """Differential of n cells from their class codes and entropies (nats), both of length n.

        Raises
        ------
        TaxonomyError
            A label is not a class of the taxonomy.
        """
        cells = pd.DataFrame({"label": np.asarray(labels, dtype=object), "entropy": entropy})
        for label in cells["label"].unique():
            _ = taxonomy[label]
        groups = cells.groupby("label")["entropy"].agg(["size", "mean"])
        counts = {code: int(groups["size"].get(code, 0)) for code in taxonomy.codes}
        n_counted = sum(counts[code] for code in taxonomy.counted_codes)
        rows = tuple(
            _row(
                cell_class,
                counts[cell_class.code],
                n_counted,
                float(groups["mean"].get(cell_class.code, np.nan)),
            )
            for cell_class in taxonomy.classes
        )
        return cls(n_cells=len(cells), n_counted=n_counted, rows=rows)

    def table(self) -> pd.DataFrame:
        """One row per class, in the columns of ``differential.csv``."""
        return pd.DataFrame(
            {
                "class": row.cell_class.code,
                "class_name": row.cell_class.name,
                "lineage": row.cell_class.lineage.value,
                "counted": row.cell_class.counted,
                "count": row.count,
                "fraction": round(row.fraction, 4),
                "low": round(row.low, 4),
                "high": round(row.high, 4),
                "mean_entropy": round(row.mean_entropy, 4),
            }
            for row in self.rows
        )


def _row(cell_class: CellClass, count: int, n_counted: int, mean_entropy: float) -> DifferentialRow:
    if not cell_class.counted or n_counted == 0:
        return DifferentialRow(cell_class, count, np.nan, np.nan, np.nan, mean_entropy)
    # Wilson 1927; Brown, Cai & DasGupta 2001 for why not the normal approximation
    interval = binomtest(count, n_counted).proportion_ci(0.95, method="wilson")
    return DifferentialRow(
        cell_class, count, count / n_counted, float(interval.low), float(interval.high), mean_entropy
    )
