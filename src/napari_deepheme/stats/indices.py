"""Indices of a differential: M:E, immature to mature, mitotic; each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_deepheme.stats.clustering import over_fields
from napari_deepheme.stats.intervals import Floats, RatioInterval, ratio_interval, wilson
from napari_deepheme.stats.rules import CountingRule, IndexRule, codes_of, unknown_classes
from napari_deepheme.taxonomy import Lineage, Taxonomy


@dataclass(frozen=True, slots=True)
class Index:
    """One index of a slide.

    Attributes
    ----------
    key, title, text : str
        For programs, for a heading, and what is divided by what.
    value, low, high : float
        nan where nothing was counted on either side; infinite where only the denominator is empty.
    numerator, denominator : int
        Cells.
    without : tuple of str
        Names of classes that belong to it and that the model cannot know.
    is_share : bool
        Whether it is a share, told in percent, and no ratio.
    """

    key: str
    title: str
    text: str
    value: float
    low: float
    high: float
    numerator: int
    denominator: int
    without: tuple[str, ...] = ()
    is_share: bool = False

    @property
    def figure(self) -> str:
        """The value as text: 3.50, 5.0 %, ∞ or a dash."""
        return self._text(self.value) + (" %" if self.is_share and np.isfinite(self.value) else "")

    @property
    def bounds(self) -> str:
        """The interval as text; empty where nothing was counted."""
        return "" if np.isnan(self.low) else f"{self._text(self.low)}–{self._text(self.high)}"

    @property
    def lacking(self) -> str:
        """Why there is no finite value, as part of a sentence; empty where there is one."""
        if np.isfinite(self.value):
            return ""
        if np.isnan(self.value):
            return "no cell that belongs to it was counted"
        return f"{self.numerator} cells to none, so only the lower bound is known"

    @property
    def words(self) -> str:
        """Title, value, interval, and what is lacking, in one line."""
        interval = f" ({self.bounds})" if self.bounds else ""
        reason = f": {self.lacking}" if self.lacking else ""
        return f"{self.title} {self.figure}{interval}{reason}"

    def _text(self, value: float) -> str:
        if np.isnan(value):
            return "–"
        if np.isinf(value):
            return "∞"
        return f"{100 * value:.1f}" if self.is_share else f"{value:.2f}"


@dataclass(frozen=True, slots=True, eq=False)
class IndexOptions:
    """Interval of the ratios, and the counts by field where cells of a field resemble each other.

    ``by_field`` has shape (f, k): cells of each class of the taxonomy, counted or not; None: one by one.
    """

    ratio: RatioInterval = RatioInterval.SCORE
    confidence: float = 0.95
    by_field: Floats | None = None


def indices(
    counts: Mapping[str, int], taxonomy: Taxonomy, rule: CountingRule, options: IndexOptions | None = None
) -> dict[str, Index]:
    """All indices of the rule that the classes of a taxonomy allow, by key.

    Parameters
    ----------
    counts : mapping of str to int
        Cells of every class of the taxonomy.
    taxonomy : Taxonomy
    rule : CountingRule
    options : IndexOptions, optional
    """
    settled, counted = options or IndexOptions(), rule.counted_codes(taxonomy)
    found = {}
    for key, each in rule.indices.items():
        above, below = (
            tuple(c for c in codes_of(side, taxonomy) if c in counted)
            for side in (each.numerator, each.denominator)
        )
        if above and below:
            found[key] = _ratio(key, each, (above, below), counts, taxonomy, settled)
    return found | _mitotic(counts, taxonomy, rule, settled)


def _ratio(
    key: str,
    rule: IndexRule,
    sides: tuple[tuple[str, ...], tuple[str, ...]],
    counts: Mapping[str, int],
    taxonomy: Taxonomy,
    options: IndexOptions,
) -> Index:
    top, bottom = (sum(counts[code] for code in side) for side in sides)
    low, high = ratio_interval(top, bottom, options.ratio, options.confidence)
    if options.by_field is not None and len(options.by_field) > 1 and top + bottom:
        low, high = _over_fields(sides, options.by_field, taxonomy, options.confidence)
    wanted = {*rule.numerator, *rule.denominator}
    without = tuple(c.name for c in unknown_classes(taxonomy) if c.code in wanted)
    value = top / bottom if bottom else np.inf if top else np.nan
    return Index(key, rule.title, rule.text, value, low, high, top, bottom, without)


def _mitotic(
    counts: Mapping[str, int], taxonomy: Taxonomy, rule: CountingRule, options: IndexOptions
) -> dict[str, Index]:
    """Mitoses among all nucleated cells, and among those of each lineage whose mitoses have a class."""
    dividing, counted = codes_of(rule.mitoses, taxonomy), rule.counted_codes(taxonomy)
    if not dividing:
        return {}
    groups = [("mitotic_index", "Mitotic index", dividing, tuple(counted))]
    for lineage in Lineage:
        own = tuple(code for code in dividing if taxonomy[code].lineage is lineage)
        if own and lineage is not Lineage.OTHER:
            others = tuple(code for code in counted if taxonomy[code].lineage is lineage)
            key = f"mitotic_index_{lineage.value.replace(' ', '_')}"
            groups.append((key, f"Mitotic index, {lineage.value}", own, others))
    found = {}
    for key, title, top, others in groups:
        mitoses = sum(counts[code] for code in top)
        n = mitoses + sum(counts[code] for code in others if code not in top)
        low, high = (float(bound) for bound in wilson(mitoses, n, options.confidence))
        text = "cells in mitosis among these and the counted ones"
        value = mitoses / n if n else np.nan
        found[key] = Index(key, title, text, value, low, high, mitoses, n, is_share=True)
    return found


def _over_fields(
    sides: tuple[tuple[str, ...], tuple[str, ...]], by_field: Floats, taxonomy: Taxonomy, confidence: float
) -> tuple[float, float]:
    above, below = ([taxonomy.codes.index(code) for code in side] for side in sides)

    def ratio(counts: Floats) -> Floats:
        top, bottom = counts[..., above].sum(axis=-1), counts[..., below].sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(top / bottom)[..., None]

    low, high = over_fields(ratio, by_field, confidence)
    return float(low[0]), float(high[0])
