"""How far the count of an analysis can be believed: is the slide one of ours, and what do corrections say.

Command line, Summary and report take this from one function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.audit import AuditState, audited
from napari_deepheme.analysis.corrections import holding, settled
from napari_deepheme.analysis.learned import taught_by
from napari_deepheme.analysis.result import Analysis, Facts
from napari_deepheme.classify.bundle import BundleSpec, calibration_cells, load_bundle
from napari_deepheme.models.bundle import embedded_bundles
from napari_deepheme.stats.assessment import Assessment, calibrated
from napari_deepheme.stats.calibration_set import FEWEST_LABELS, CalibrationSet
from napari_deepheme.stats.differential import plain
from napari_deepheme.stats.exchangeability import NO_CELLS, Exchangeability, exchangeability
from napari_deepheme.stats.quantify import (
    AUDIT,
    Method,
    Quantification,
    QuantifyOptions,
    intervals_in_words,
    quantify,
)
from napari_deepheme.stats.risk import (
    AcceptedAccuracy,
    Promise,
    RiskMonitor,
    accepted_accuracy,
    accepted_in_words,
    changed_by_review,
    monitor,
    promise_in_words,
)

_MOST = 2_000
"""Cells compared and corrected by: with more the model's confusion, not their number, makes the interval."""


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """What stands behind the count of one slide.

    Attributes
    ----------
    codes : tuple of str
        Classes of the shares below.
    like_ours : Exchangeability
        Whether the cells are like those the model was calibrated on.
    corrected : tuple of Quantification
        Shares by each method, with intervals that hold the confusion on the calibration cells.
    audit : AuditState or None
        What a random audit of this slide says.
    accepted : AcceptedAccuracy
        How many cells are to be reviewed at the threshold in force, and the accuracy to expect of the others.
    threshold : float
        That threshold, nats.
    promise : str
        What may be said of the cells accepted without review.
    seen : RiskMonitor or None
        What a random audit saw of these cells.
    changed : mapping of (str, str) to int
        Cells that people gave another label, by (the model's, theirs).
    """

    codes: tuple[str, ...]
    like_ours: Exchangeability
    corrected: tuple[Quantification, ...]
    audit: AuditState | None
    accepted: AcceptedAccuracy
    threshold: float
    promise: str
    seen: RiskMonitor | None
    changed: Mapping[tuple[str, str], int]

    @property
    def best(self) -> Quantification | None:
        """An audit's shares; without one those of the calibration cells, if the slide is like them."""
        if self.audit is not None and not self.audit.shares.refusal:
            return self.audit.shares
        usable = [each for each in self.corrected if not each.refusal]
        return usable[-1] if usable and self.like_ours.holds else None

    @property
    def by_code(self) -> Mapping[str, tuple[float, float, float]] | None:
        """Fraction, low and high of each counted class by the best correction; None where there is none."""
        return None if self.best is None else self.best.by_code(self.codes)

    def to_json(self) -> dict[str, object]:
        """Verdict and p-value of the comparison, what it means, and how far an audit is."""
        p, audit = self.like_ours.p, self.audit
        return {
            "verdict": self.like_ours.verdict.value,
            "p": plain(p),
            "advice": self.like_ours.advice,
            "corrected_by": None if self.best is None else self.best.method,
            "intervals": self.intervals,
            "methods": self._methods(),
            "audit": None if audit is None else {"cells": audit.n, "waiting": len(audit.waiting)},
            "promise": self.promise,
            "review": {
                "share": plain(self.accepted.share_to_review),
                "accuracy": plain(self.accepted.accuracy),
                "low": plain(self.accepted.low),
                "high": plain(self.accepted.high),
                "audited": 0 if self.seen is None else self.seen.n,
                "wrong": 0 if self.seen is None else self.seen.errors,
                "changed": [[*pair, n] for pair, n in self.changed.items()],
            },
        }

    @property
    def review(self) -> tuple[str, ...]:
        """In sentences: how many cells wait, how sure the others are, what is promised, seen and changed."""
        accepted = accepted_in_words(self.accepted, self.threshold, self.like_ours)
        pairs = ", ".join(f"{old} → {new} {n}" for (old, new), n in self.changed.items())
        changed = f"Labels that people changed: {pairs}." if pairs else ""
        seen = "" if self.seen is None else self.seen.words
        return tuple(each for each in (accepted, self.promise, seen, changed) if each)

    @property
    def intervals(self) -> str:
        """What the intervals beside the count and of the best correction hold, in a sentence or two."""
        return intervals_in_words(self.best)

    @property
    def quantified(self) -> tuple[Quantification, ...]:
        """All the estimates, the one to believe most last."""
        return self.corrected if self.audit is None else (*self.corrected, self.audit.shares)

    @property
    def stated(self) -> tuple[Quantification, ...]:
        """The estimates that may be shown: of a slide unlike the calibration cells, an audit's alone."""
        return tuple(
            each
            for each in self.quantified
            if not each.refusal and (self.like_ours.holds or each.method == AUDIT)
        )

    def _methods(self) -> dict[str, object]:
        """Shares and bounds by method, or why there are none; empty where they would promise nothing."""
        if not self.like_ours.holds:
            return {}
        return {
            each.method: {"refused": each.refusal}
            if each.refusal
            else {code: list(bounds) for code, bounds in (each.by_code(self.codes) or {}).items()}
            for each in self.corrected
        }


def reliability_of(analysis: Analysis) -> Reliability:
    """Compare the cells of an analysis with the model's calibration cells, and correct its shares."""
    counting, calibration = analysis.counting(), calibration_of(analysis.facts)
    review = analysis.facts.bundle.review
    promise = Promise(review.threshold, review.risk, review.confidence)
    like_ours, corrected = _beside_calibration(counting, calibration)
    moved = analysis.facts.options.assessment.review_threshold
    threshold = review.threshold if moved is None else moved
    assessed, seen = counting.assessed(), monitored(analysis)
    usable = [each.fractions for each in corrected if like_ours.holds and not each.refusal]
    shares = usable[-1] if usable else None
    return Reliability(
        analysis.taxonomy.codes,
        like_ours,
        corrected,
        audited(analysis),
        accepted_accuracy(_known(assessed.trained_entropy), calibration, threshold, shares),
        threshold,
        promise_in_words(promise, like_ours, seen),
        seen,
        _changed(counting, assessed),
    )


def _known(entropy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the cells that no model was asked about."""
    return entropy[np.isfinite(entropy)]


def _changed(counting: Analysis, assessed: Assessment) -> Mapping[tuple[str, str], int]:
    """Cells that people gave another label, by (the model's, theirs)."""
    codes, labels = counting.facts.bundle.taxonomy.codes, dict[int, str]()
    for each in holding(counting.corrections):
        if each.label:
            labels[each.cell] = each.label
    called = dict(zip(counting.ids.tolist(), assessed.call.tolist(), strict=True))
    known = [cell for cell in labels if cell in called and cell > 0]
    before, after = [codes[called[cell]] for cell in known], [labels[cell] for cell in known]
    return changed_by_review(before, after)


def calibration_of(facts: Facts) -> CalibrationSet | None:
    """The cells the model of an analysis was calibrated on; None where it has none.

    They are kept with the analysis. An older file lacks them; then an embedded model of just this
    description is asked.
    """
    if facts.calibration_cells:
        return CalibrationSet.from_bytes(facts.calibration_cells)
    if facts.bundle.name not in embedded_bundles():
        return None
    bundle = load_bundle(facts.bundle.name)
    return calibration_cells(bundle) if bundle.spec == facts.bundle else None


def _beside_calibration(
    counting: Analysis, calibration: CalibrationSet | None
) -> tuple[Exchangeability, tuple[Quantification, ...]]:
    """Whether the cells are like the calibration cells, and shares corrected by these."""
    model = counting.facts.bundle.calibration
    known = counting.take(_at_most(np.flatnonzero(_judged(counting))))
    probabilities = calibrated(known.raw, model)
    counted = np.array([cell_class.counted for cell_class in model.taxonomy.classes])
    like_ours = exchangeability(probabilities, known.raw.distance, calibration, counted)
    if calibration is None:
        like_ours = replace(like_ours, reason=_without_cells(counting.facts.bundle))
    if calibration is None or len(counting.taxonomy.codes) != len(model.taxonomy.codes):
        return like_ours, ()
    options = QuantifyOptions(model.taxonomy.codes, counted)
    return like_ours, tuple(quantify(probabilities, calibration, method, options) for method in Method)


def _judged(counting: Analysis) -> NDArray[np.bool_]:
    """Cells, shape (n,), that the model in use was asked about and did not learn from."""
    judged: NDArray[np.bool_] = ~np.isnan(counting.raw.members[0, :, 0])
    return judged & ~np.isin(counting.ids, list(taught_by(counting)))


def _without_cells(spec: BundleSpec) -> str:
    """Why a model has no calibration cells."""
    labels = int(spec.training.metrics.get("cells", 0))
    if spec.parent is None:
        return NO_CELLS
    if labels < FEWEST_LABELS:
        return f"it learned from {labels} labels, and {FEWEST_LABELS} are needed to compare slides with them"
    return "it was adapted by a version that kept no calibration cells; adapt it anew"


def _at_most(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows drawn at random where there are more than tell anything new."""
    if len(rows) <= _MOST:
        return rows
    return np.sort(np.random.default_rng(0).permutation(rows)[:_MOST])


def monitored(analysis: Analysis) -> RiskMonitor | None:
    """What a random audit saw so far of the cells that need no review; None where none was drawn.

    Of the audit's cells alone, so that a window may ask with every label.
    """
    if analysis.audit is None:
        return None
    review, codes = analysis.facts.bundle.review, analysis.facts.bundle.taxonomy.codes
    known, taught = settled(analysis.corrections), taught_by(analysis)
    drawn = [cell for cell in analysis.audit.cells if cell in known and cell not in taught]
    audited_cells = analysis.take(np.flatnonzero(np.isin(analysis.ids, drawn)))
    assessed = audited_cells.assessed(analysis.audit.options)
    accepted = assessed.trained_entropy <= review.threshold
    said = [known[cell] for cell in audited_cells.ids[accepted].tolist()]
    called = [codes[call] for call in assessed.call[accepted]]
    wrong = sum(each.deleted or each.label not in ("", call) for each, call in zip(said, called, strict=True))
    return monitor(wrong, len(said), Promise(review.threshold, review.risk, review.confidence))
