"""How far a run is, and when it has counted enough."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Analysis, CellsReady
from napari_deepheme.errors import OptionError
from napari_deepheme.stats.clustering import counts_by_field, design_effects
from napari_deepheme.stats.planning import StopDecision, decide
from napari_deepheme.taxonomy import Taxonomy

Counts = NDArray[np.float64]


def counts_in(analysis: Analysis) -> Counts:
    """Cells counted by the model's calls, a row for each field with any, shape (f, k)."""
    counting, classes = analysis.counting(), analysis.facts.bundle.taxonomy.classes
    calls, _ = counting.called()
    counted = np.array([cell_class.counted for cell_class in classes])
    return counts_by_field(counting.cells.region, np.where(counted[calls], calls, -1), len(classes))


def counted_in(analysis: Analysis) -> int:
    """How many cells the differential counts by the model's calls."""
    return int(counts_in(analysis).sum())


def check_stop_rule(options: AnalysisOptions, taxonomy: Taxonomy) -> None:
    """Refuse with :class:`OptionError` to count until a class is precise that is never counted."""
    if options.until is not None and options.until.code not in taxonomy.counted_codes:
        known = ", ".join(sorted(taxonomy.counted_codes))
        raise OptionError(f"The model counts no {options.until.code}; it counts {known}.")


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """How far a run is.

    Attributes
    ----------
    options : AnalysisOptions
    taxonomy : Taxonomy
    units, done : int
        Units there are at most, and those that are done.
    counts : ndarray of float64, shape (f, k)
        Cells counted of each class, a row for each field.
    """

    options: AnalysisOptions
    taxonomy: Taxonomy
    units: int
    done: int
    counts: Counts

    @property
    def counted(self) -> int:
        """Cells counted."""
        return int(self.counts.sum())

    @property
    def is_enough(self) -> bool:
        """Whether the target is met, and a class that is to be known precisely is."""
        target = self.options.target_cells
        if not target or self.counted < target:
            return False
        decision = self.decision
        return decision is None or decision.enough

    @property
    def decision(self) -> StopDecision | None:
        """What the stop rule says; None without one."""
        rule = self.options.until
        if rule is None:
            return None
        codes = self.taxonomy.codes
        totals = dict(zip(codes, self.counts.sum(axis=0).astype(int).tolist(), strict=True))
        return decide(totals, rule, float(design_effects(self.counts)[codes.index(rule.code)]))

    def plus(self, found: Analysis) -> Tally:
        """With one more unit."""
        return replace(self, done=self.done + 1, counts=np.concatenate([self.counts, counts_in(found)]))

    def progress(self, found: Analysis | None = None) -> CellsReady:
        """Where the run stands, with the cells of the unit that was just done."""
        target, decision = self.options.target_cells, self.decision
        message = f"{self.counted} cells counted, part {self.done} of {self.units}"
        if decision is not None and self.options.until is not None:
            target = max(target, self.counted + decision.more)
            message += f", {self.options.until.code} ± {100 * decision.half_width:.1f} points"
        done, total = (min(self.counted, target), target) if target else (self.done, self.units)
        share = max(self.done / max(self.units, 1), self.counted / target if target else 0.0)
        return CellsReady("Classifying cells", done, total, message, found, min(share, 1.0))
