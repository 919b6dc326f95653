"""The differential count: how many of each class, with the sampling error of each percentage.

The command line, the Summary dock and the report take their numbers from here, from one function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.errors import OptionError
from napari_deepheme.stats.counting import (
    CellFacts,
    Counting,
    CountOptions,
    DifferentialRow,
    LineageRow,
    ordered_classes,
)
from napari_deepheme.stats.indices import Index
from napari_deepheme.stats.planning import PRECISION, effect_of, mark, more_cells
from napari_deepheme.stats.rules import counting_rule, unknown_classes
from napari_deepheme.taxonomy import CellClass, Taxonomy

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RULE",
    "CellFacts",
    "CountOptions",
    "Differential",
    "DifferentialRow",
    "LineageRow",
    "ordered_classes",
    "plain",
]

RULE = counting_rule().title
"""Title of the rule that counts unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Differential:
    """Counts and percentages of every class of a taxonomy, by lineage and maturation.

    The intervals hold the sampling error alone: a classifier's confusions do not shrink with more cells (see
    :mod:`napari_deepheme.stats.quantify`).

    Attributes
    ----------
    options : CountOptions
    n_cells, n_counted : int
    rows : tuple of DifferentialRow
        Counted classes first.
    lineages : tuple of LineageRow
        Of every lineage with a counted class.
    indices : mapping of str to Index
    design_effect : float
        Of all classes together; nan where fields are not known.
    unknown : tuple of CellClass
        Classes of a marrow the taxonomy has no class for; such cells are called something else.
    """

    options: CountOptions
    n_cells: int
    n_counted: int
    rows: tuple[DifferentialRow, ...]
    lineages: tuple[LineageRow, ...]
    indices: Mapping[str, Index]
    design_effect: float
    unknown: tuple[CellClass, ...]

    @classmethod
    def of(
        cls,
        labels: Sequence[str] | NDArray[np.object_],
        entropy: NDArray[np.float64],
        taxonomy: Taxonomy,
        options: CountOptions | None = None,
        facts: CellFacts | None = None,
    ) -> Differential:
        """Differential of n cells from their class codes and entropies (nats), both of length n.

        Raises
        ------
        TaxonomyError
            A label is not a class of the taxonomy.
        OptionError
            The rule does not fit the taxonomy, or masks a class and the probabilities are not known.
        """
        settled, known = options or CountOptions(), facts or CellFacts()
        settled.rule.check_for(taxonomy)
        counting = Counting(labels, entropy, taxonomy, settled, known)
        return cls(
            options=settled,
            n_cells=counting.n_cells,
            n_counted=counting.n_counted,
            rows=counting.rows(),
            lineages=counting.lineages(),
            indices=counting.indices(),
            design_effect=counting.design_effect,
            unknown=unknown_classes(taxonomy),
        )

    @property
    def rule(self) -> str:
        """Title of the counting rule."""
        return self.options.rule.title

    def more_cells(self, code: str, half_width: float) -> int:
        """Cells still to count until the share of a class is known to ± ``half_width`` (a share).

        Raises
        ------
        OptionError
            The class is not counted.
        """
        counted = {row.cell_class.code: row for row in self.rows if row.counted}
        if code not in counted:
            raise OptionError(f"{code} is not counted here; counted are {', '.join(sorted(counted))}.")
        row, n, confidence = counted[code], self.n_counted, self.options.confidence
        effect = effect_of(row.fraction, row.half_width, n, confidence)
        return more_cells(row.count, n, half_width, confidence, effect)

    @property
    def plan(self) -> tuple[str, ...]:
        """Where the count stands, in sentences: among ICSH's marks, and in precision."""
        at = mark(self.n_counted)
        marks = (
            f"ICSH's mark of {at.reached} cells is reached" if at.reached else "No mark of ICSH is reached"
        )
        marks += f"; {at.to_next} more cells to {self.n_counted + at.to_next}." if at.to_next else "."
        counted = [row for row in self.rows if row.counted]
        if not self.n_counted or not counted:
            return (marks,)
        widest = max(counted, key=lambda row: row.half_width)
        known = f"Every class is known to ± {100 * widest.half_width:.1f} points or better"
        more = self.more_cells(widest.cell_class.code, PRECISION)
        name = widest.cell_class.name.lower()
        asked = f"; {more} more cells and {name}, the least certain, is known to ± {100 * PRECISION:g}"
        return marks, known + (asked if more else "") + "."

    def table(self) -> pd.DataFrame:
        """One row per class, in the columns of ``differential.csv``."""
        import pandas as pd  # noqa: PLC0415  half a second that a window does not need

        return pd.DataFrame(
            {
                "class": row.cell_class.code,
                "class_name": row.cell_class.name,
                "lineage": row.cell_class.lineage.value,
                "counted": row.counted,
                "count": row.count,
                "fraction": round(row.fraction, 4),
                "low": round(row.low, 4),
                "high": round(row.high, 4),
                "mean_entropy": round(row.mean_entropy, 4),
            }
            for row in self.rows
        )

    def to_json(self, corrected: Mapping[str, tuple[float, float, float]] | None = None) -> dict[str, object]:
        """Document of plain values for programs; what is not known is None.

        Parameters
        ----------
        corrected : mapping of str to (fraction, low, high), optional
            Shares by class once the classifier's confusion is taken out.
        """
        rows = {row.cell_class.code: row for row in self.rows}
        return {
            "rule": self.options.rule.name,
            "n_cells": self.n_cells,
            "n_counted": self.n_counted,
            "interval": self.options.interval.value,
            "confidence": self.options.confidence,
            "design_effect": plain(self.design_effect),
            "classes": {code: {"count": row.count, **_bounds(row)} for code, row in rows.items()},
            "lineages": {r.lineage.value: {"count": r.count, **_bounds(r)} for r in self.lineages},
            "indices": {
                key: {
                    "value": plain(each.value),
                    "low": plain(each.low),
                    "high": plain(each.high),
                    "without": list(each.without),
                }
                for key, each in self.indices.items()
            },
            "unknown_classes": [c.code for c in self.unknown],
            "plan": list(self.plan),
            "corrected": None
            if corrected is None
            else {
                code: {"fraction": plain(f), "low": plain(low), "high": plain(high)}
                for code, (f, low, high) in corrected.items()
            },
        }


def _bounds(row: DifferentialRow | LineageRow) -> dict[str, float | None]:
    return {"fraction": plain(row.fraction), "low": plain(row.low), "high": plain(row.high)}


def plain(value: float) -> float | None:
    """A number as JSON knows it; None for what is not finite."""
    return value if math.isfinite(value) else None
