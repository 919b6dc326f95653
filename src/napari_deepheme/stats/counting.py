"""From the labels of cells to the rows of a differential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.stats.clustering import (
    clustered_intervals,
    counts_by_field,
    design_effects,
    overall_design_effect,
)
from napari_deepheme.stats.indices import Index, IndexOptions, indices
from napari_deepheme.stats.intervals import Floats, Interval, RatioInterval, share_intervals
from napari_deepheme.stats.rules import CountingRule, counting_rule, labels_under
from napari_deepheme.taxonomy import MATURATION_LINES, CellClass, Lineage, Taxonomy


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

    @property
    def half_width(self) -> float:
        """Half the width of the interval; nan without one."""
        return (self.high - self.low) / 2


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


class Counting:
    """The steps from the labels of n cells to the rows of a differential."""

    def __init__(
        self,
        labels: Sequence[str] | NDArray[np.object_],
        entropy: NDArray[np.float64],
        taxonomy: Taxonomy,
        options: CountOptions,
        facts: CellFacts,
    ) -> None:
        k = len(taxonomy.classes)
        named = labels_under(options.rule, labels, taxonomy, facts.probabilities, facts.by_person)
        place = _places(named, taxonomy)
        self.taxonomy, self.options, self.n_cells = taxonomy, options, len(place)
        self.counts = np.bincount(place, minlength=k)
        self.sums = np.bincount(place, np.asarray(entropy, np.float64), minlength=k)
        counted = options.rule.counted_codes(taxonomy)
        self.counted = np.array([code in counted for code in taxonomy.codes])
        self.n_counted = int(self.counts[self.counted].sum())
        self.by_field: Floats | None = None
        if facts.fields is not None and self.n_counted:
            table = counts_by_field(facts.fields, place, k)
            # a field without a counted cell says nothing of the shares
            self.by_field = table[table[:, self.counted].sum(axis=1) > 0]

    @property
    def design_effect(self) -> float:
        """Of all counted classes together; nan where fields are not known."""
        return np.nan if self.by_field is None else overall_design_effect(self.by_field[:, self.counted])

    def indices(self) -> dict[str, Index]:
        """Indices of the rule that the classes allow."""
        options = IndexOptions(self.options.ratio, self.options.confidence, self.by_field)
        counts = {code: int(n) for code, n in zip(self.taxonomy.codes, self.counts, strict=True)}
        return indices(counts, self.taxonomy, self.options.rule, options)

    def rows(self) -> tuple[DifferentialRow, ...]:
        """One for each class, counted ones first."""
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

    def lineages(self) -> tuple[LineageRow, ...]:
        """One for each lineage with a counted class."""
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
            low, high = clustered_intervals(by_field, self.options.interval, self.options.confidence)
        else:
            low, high = share_intervals(counts, self.options.interval, self.options.confidence)
        columns = (each.tolist() for each in (counts / self.n_counted, low, high, effects))
        return list(zip(*columns, strict=True))


def _places(labels: NDArray[np.object_], taxonomy: Taxonomy) -> NDArray[np.intp]:
    place = {code: i for i, code in enumerate(taxonomy.codes)}
    for name in set(labels.tolist()) - place.keys():
        _ = taxonomy[str(name)]  # says what it knows
    return np.fromiter(map(place.__getitem__, labels.tolist()), np.intp, len(labels))
