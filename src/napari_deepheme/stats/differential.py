"""The differential count: how many of each class, with the sampling error of each percentage.

The command line, the Summary dock and the report take their numbers from here, from one function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.stats.clustering import (
    clustered_wilson,
    counts_by_field,
    design_effects,
    overall_design_effect,
)
from napari_deepheme.stats.indices import Index, IndexOptions, indices
from napari_deepheme.stats.intervals import Floats, Interval, RatioInterval, share_intervals
from napari_deepheme.stats.planning import Mark, mark, more_cells
from napari_deepheme.stats.rules import CountingRule, counting_rule, labels_under, unknown_classes
from napari_deepheme.taxonomy import MATURATION_LINES, CellClass, Lineage, Taxonomy

if TYPE_CHECKING:
    import pandas as pd

RULE = counting_rule().title
"""Title of the rule that counts unless another is asked for."""


@dataclass(frozen=True, slots=True)
class CountOptions:
    """How cells are counted, and which intervals the numbers get."""

    rule: CountingRule = field(default_factory=counting_rule)
    interval: Interval = Interval.WILSON
    ratio: RatioInterval = RatioInterval.SCORE
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class CellFacts:
    """What may be known of n cells beside their labels.

    Attributes
    ----------
    probabilities : ndarray, shape (n, k), optional
        For rules that mask classes.
    by_person : ndarray of bool, shape (n,), optional
        Cells a person named; no rule gives them another class.
    fields : ndarray of int, shape (n,), optional
        The field of the smear each cell lies in. With two or more, intervals know that cells of a field
        resemble each other.
    """

    probabilities: NDArray[np.floating] | None = None
    by_person: NDArray[np.bool_] | None = None
    fields: NDArray[np.integer] | None = None


@dataclass(frozen=True, slots=True)
class DifferentialRow:
    """One class of the differential.

    Attributes
    ----------
    cell_class : CellClass
    counted : bool
        Whether the rule counts it.
    count : int
    fraction, low, high : float
        Share of the counted cells and its interval; nan for a class that is not counted or when nothing was.
    mean_entropy : float
        Mean uncertainty of the class's cells, nats; nan without cells.
    design_effect : float
        See :func:`~napari_deepheme.stats.clustering.design_effects`; nan where fields are not known.
    """

    cell_class: CellClass
    counted: bool
    count: int
    fraction: float
    low: float
    high: float
    mean_entropy: float
    design_effect: float = np.nan


@dataclass(frozen=True, slots=True)
class LineageRow:
    """Sum of the counted classes of a lineage, in the same figures."""

    lineage: Lineage
    codes: tuple[str, ...]
    count: int
    fraction: float
    low: float
    high: float
    mean_entropy: float


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
        named = labels_under(settled.rule, labels, taxonomy, known.probabilities, known.by_person)
        place = _places(named, taxonomy)
        return _Counting(place, np.asarray(entropy, np.float64), taxonomy, settled, known.fields).result()

    @property
    def rule(self) -> str:
        """Title of the counting rule."""
        return self.options.rule.title

    @property
    def mark(self) -> Mark:
        """Where the count stands among ICSH's 300 and 500 cells."""
        return mark(self.n_counted)

    def more_cells(self, code: str, half_width: float) -> int:
        """Cells still to count until the share of a class is known to ± ``half_width`` (a share)."""
        row = next(row for row in self.rows if row.cell_class.code == code)
        return more_cells(row.count, self.n_counted, half_width, self.options.confidence, row.design_effect)

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
            "design_effect": _plain(self.design_effect),
            "classes": {code: {"count": row.count, **_bounds(row)} for code, row in rows.items()},
            "lineages": {r.lineage.value: {"count": r.count, **_bounds(r)} for r in self.lineages},
            "indices": {
                key: {
                    "value": _plain(each.value),
                    "low": _plain(each.low),
                    "high": _plain(each.high),
                    "without": list(each.without),
                }
                for key, each in self.indices.items()
            },
            "unknown_classes": [c.code for c in self.unknown],
            "corrected": None
            if corrected is None
            else {
                code: {"fraction": _plain(f), "low": _plain(low), "high": _plain(high)}
                for code, (f, low, high) in corrected.items()
            },
        }


def ordered_classes(taxonomy: Taxonomy) -> tuple[CellClass, ...]:
    """Classes by lineage, in each from the youngest on."""
    stage: dict[str, int] = {}
    for line in MATURATION_LINES:
        for i, code in enumerate(line):  # the longest line has the finest stages
            stage[code] = max(i, stage.get(code, 0))
    lineages = list(Lineage)

    def key(cell_class: CellClass) -> tuple[int, int]:
        own = [stage[name] for name in (cell_class.code, *cell_class.aliases) if name in stage]
        return lineages.index(cell_class.lineage), min(own, default=len(stage))

    return tuple(sorted(taxonomy.classes, key=key))


class _Counting:
    """The steps from class indices (n,) to a differential."""

    def __init__(
        self,
        place: NDArray[np.intp],
        entropy: Floats,
        taxonomy: Taxonomy,
        options: CountOptions,
        fields: NDArray[np.integer] | None,
    ) -> None:
        k = len(taxonomy.classes)
        self.taxonomy, self.options, self.n_cells = taxonomy, options, len(place)
        self.counts = np.bincount(place, minlength=k)
        self.sums = np.bincount(place, entropy, minlength=k)
        counted = options.rule.counted_codes(taxonomy)
        self.counted = np.array([code in counted for code in taxonomy.codes])
        self.n_counted = int(self.counts[self.counted].sum())
        self.by_field = None
        if fields is not None and self.n_counted:
            table = counts_by_field(fields, place, k)
            # a field without a counted cell says nothing of the shares
            self.by_field = table[table[:, self.counted].sum(axis=1) > 0]

    def result(self) -> Differential:
        options = IndexOptions(self.options.ratio, self.options.confidence, self.by_field)
        counts = {code: int(n) for code, n in zip(self.taxonomy.codes, self.counts, strict=True)}
        overall = np.nan if self.by_field is None else overall_design_effect(self.by_field[:, self.counted])
        return Differential(
            options=self.options,
            n_cells=self.n_cells,
            n_counted=self.n_counted,
            rows=self._rows(),
            lineages=self._lineages(),
            indices=indices(counts, self.taxonomy, self.options.rule, options),
            design_effect=overall,
            unknown=unknown_classes(self.taxonomy),
        )

    def _rows(self) -> tuple[DifferentialRow, ...]:
        groups = np.eye(len(self.counts))[self.counted]
        figures = dict(zip(np.flatnonzero(self.counted).tolist(), self._shares(groups), strict=True))
        place, nothing = {code: i for i, code in enumerate(self.taxonomy.codes)}, (np.nan,) * 4
        rows = []
        for cell_class in ordered_classes(self.taxonomy):
            i = place[cell_class.code]
            fraction, low, high, effect = figures.get(i, nothing)
            entropy = float(self.sums[i] / self.counts[i]) if self.counts[i] else np.nan
            rows.append(
                DifferentialRow(
                    cell_class, i in figures, int(self.counts[i]), fraction, low, high, entropy, effect
                )
            )
        return tuple(sorted(rows, key=lambda row: not row.counted))

    def _lineages(self) -> tuple[LineageRow, ...]:
        of = np.array([c.lineage.value for c in self.taxonomy.classes], dtype=object)
        lineages = [each for each in Lineage if (self.counted & (of == each.value)).any()]
        groups = np.array([self.counted & (of == each.value) for each in lineages], np.float64)
        groups = groups.reshape(len(lineages), len(of))
        rows = []
        for lineage, members, figures in zip(lineages, groups > 0, self._shares(groups), strict=True):
            codes = tuple(c.code for c in ordered_classes(self.taxonomy) if members[self._place(c.code)])
            count = int(self.counts[members].sum())
            entropy = float(self.sums[members].sum() / count) if count else np.nan
            rows.append(LineageRow(lineage, codes, count, *figures[:3], entropy))
        return tuple(rows)

    def _place(self, code: str) -> int:
        return self.taxonomy.codes.index(code)

    def _shares(self, groups: Floats) -> list[tuple[float, float, float, float]]:
        """Fraction, bounds and design effect of groups of classes that together are all that is counted.

        ``groups`` has shape (g, k), 1 where a class belongs to a group.
        """
        if not self.n_counted:
            return [(np.nan,) * 4] * len(groups)
        counts, effects = groups @ self.counts, np.full(len(groups), np.nan)
        if self.by_field is not None and len(self.by_field) > 1:
            by_field = self.by_field @ groups.T
            effects = design_effects(by_field)
            low, high = clustered_wilson(by_field, self.options.confidence)
        else:
            low, high = share_intervals(counts, self.options.interval, self.options.confidence)
        columns = (each.tolist() for each in (counts / self.n_counted, low, high, effects))
        return list(zip(*columns, strict=True))


def _places(labels: NDArray[np.object_], taxonomy: Taxonomy) -> NDArray[np.intp]:
    names, inverse = np.unique(labels.astype(str), return_inverse=True)
    for name in names:
        _ = taxonomy[str(name)]
    index = np.array([taxonomy.codes.index(str(name)) for name in names], np.intp)
    return index[inverse] if len(labels) else np.zeros(0, np.intp)


def _bounds(row: DifferentialRow | LineageRow) -> dict[str, float | None]:
    return {"fraction": _plain(row.fraction), "low": _plain(row.low), "high": _plain(row.high)}


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
