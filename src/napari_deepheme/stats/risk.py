"""The promise of the review threshold: at most so many errors among accepted cells; and how it is kept.

The threshold is set on calibration cells (:func:`~napari_deepheme.stats.calibration.review_threshold`). What
labels later say of accepted cells, one by one and looked at after each, is judged by an interval that holds
at every look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaln

from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.exchangeability import Exchangeability, Verdict
from napari_deepheme.stats.intervals import clopper_pearson


@dataclass(frozen=True, slots=True)
class Promise:
    """Error among accepted cells at most ``risk`` with this ``confidence``, at this entropy ``threshold``."""

    threshold: float
    risk: float
    confidence: float


@dataclass(frozen=True, slots=True)
class AcceptedAccuracy:
    """What to expect of cells accepted without review.

    Attributes
    ----------
    share_to_review : float
        Of the slide's cells.
    accuracy, low, high : float
        Of calibration cells accepted at the threshold, Clopper-Pearson's interval; nan without such cells.
    matched : bool
        Whether these were weighted to the slide's shares of classes.
    """

    share_to_review: float
    accuracy: float
    low: float
    high: float
    matched: bool = False


def accepted_accuracy(
    entropy: NDArray[np.floating],
    calibration: CalibrationSet | None,
    threshold: float,
    shares: NDArray[np.floating] | None = None,
    level: float = 0.95,
) -> AcceptedAccuracy:
    """Share of cells to review, and accuracy to expect of the rest.

    Parameters
    ----------
    entropy : ndarray, shape (n,)
        Of the slide's cells, nats.
    calibration : CalibrationSet or None
    threshold : float
    shares : ndarray, shape (k,), optional
        Of the classes on the slide, nan for one that is not counted. Calibration cells are weighted to them,
        for some classes are called right more often than others; the interval is that of as many cells as
        the weights are worth, (Σ w)² / Σ w² (Kish 1965, sec. 11.7).
    level : float
    """
    to_review = float((entropy > threshold).mean()) if len(entropy) else np.nan
    if calibration is None:
        return AcceptedAccuracy(to_review, np.nan, np.nan, np.nan)
    accepted = calibration.entropy <= threshold
    weights = accepted.astype(np.float64)
    if shares is not None:
        usual = np.maximum(calibration.prior, 1e-12)
        weights *= (np.nan_to_num(shares) / usual)[calibration.truth]
    total, right = weights.sum(), calibration.calls == calibration.truth
    if total <= 0:
        return AcceptedAccuracy(to_review, np.nan, np.nan, np.nan)
    n, accuracy = total**2 / (weights**2).sum(), float((weights * right).sum() / total)
    low, high = (float(bound) for bound in clopper_pearson(accuracy * n, n, level))
    return AcceptedAccuracy(to_review, accuracy, low, high, shares is not None)


@dataclass(frozen=True, slots=True)
class RiskMonitor:
    """Errors among accepted cells whose truth has come in, and bounds that hold at every look.

    ``low`` and ``high`` are a confidence sequence: the probability that the true risk is ever outside,
    however often one looks and whenever one stops, is at most 1 − confidence.
    """

    n: int
    errors: int
    low: float
    high: float
    promise: Promise

    @property
    def words(self) -> str:
        """What was seen so far, in a sentence; empty before the first cell."""
        if not self.n:
            return ""
        return (
            f"Of {self.n} accepted cells of a random audit {self.errors} were called wrong: the risk is "
            f"{100 * self.low:.1f} to {100 * self.high:.1f} %, with {100 * self.promise.confidence:g} % "
            "confidence at every look."
        )

    @property
    def broken(self) -> bool:
        """Whether the risk is above the promised one, surely."""
        return self.low > self.promise.risk


def monitor(errors: int, n: int, promise: Promise) -> RiskMonitor:
    """Judge a promise by n accepted cells, drawn at random and named by a person, of which some were wrong.

    Robbins' mixture of binomial likelihood ratios over a uniform prior (Robbins 1970, Ann Math Stat 41:1397;
    Ville's inequality): risks r whose ratio B(e + 1, n − e + 1) / (rᵉ (1 − r)ⁿ⁻ᵉ) stays below 1 / (1 − c).
    """
    if n == 0:
        return RiskMonitor(0, 0, 0.0, 1.0, promise)
    limit, mixed = -np.log(1 - promise.confidence), float(betaln(errors + 1, n - errors + 1))

    def excess(risk: float) -> float:
        likelihood = errors * np.log(risk) + (n - errors) * np.log1p(-risk)
        return float(mixed - likelihood - limit)

    edge, seen = 1e-12, min(max(errors / n, 1e-9), 1 - 1e-9)
    low = float(brentq(excess, edge, seen)) if errors and excess(edge) > 0 else 0.0
    high = float(brentq(excess, seen, 1 - edge)) if errors < n and excess(1 - edge) > 0 else 1.0
    return RiskMonitor(n, errors, low, high, promise)


def promise_in_words(promise: Promise, like_ours: Exchangeability, seen: RiskMonitor | None = None) -> str:
    """What may be said of accepted cells on this slide: the promise, or that it is withdrawn and why."""
    percent, sure = f"{100 * promise.risk:g} %", f"{100 * promise.confidence:g} %"
    if seen is not None and seen.broken:
        return (
            f"Withdrawn: more of the accepted cells are wrong than the {percent} that were promised. Review "
            "more cells, or adapt the model."
        )
    if promise.threshold <= 0:
        return "No promise: at no threshold are calls right often enough; every cell is to be reviewed."
    if like_ours.verdict is Verdict.GREEN:
        return (
            f"At most {percent} of the cells accepted without review are wrong, with {sure} confidence, on "
            "cells like the calibration cells; these are."
        )
    reason = {
        Verdict.AMBER: "cells of this slide differ from the calibration cells",
        Verdict.RED: "cells of this slide do not look like the calibration cells",
        Verdict.UNKNOWN: "whether cells of this slide are like the calibration cells is not known",
    }[like_ours.verdict]
    return f"Withdrawn: {reason}, so that {percent} of errors at most is no promise here. Audit some of them."


def accepted_in_words(accepted: AcceptedAccuracy, threshold: float, like_ours: Exchangeability) -> str:
    """How many cells of a slide are to be reviewed, and how often the others may be called right."""
    if np.isnan(accepted.share_to_review):
        return ""
    share = f"{100 * accepted.share_to_review:.1f} %"
    review = f"{share} of the cells lie above the review threshold, {threshold:.2f} nats"
    if np.isnan(accepted.accuracy):
        return f"{review}; how often the others are right is not known."
    mix = ", weighted to the classes of this slide," if accepted.matched else ""
    right = (
        f"{100 * accepted.accuracy:.1f} % ({100 * accepted.low:.1f}–{100 * accepted.high:.1f}) of the "
        f"calibration cells below it{mix} are called right"
    )
    here = "expect as many here" if like_ours.holds and accepted.matched else "here it may be fewer"
    return f"{review}. {right}: {here}."


def changed_by_review(before: Sequence[str], after: Sequence[str]) -> Mapping[tuple[str, str], int]:
    """Cells that a review gave another label, by (the model's, the person's), most frequent first."""
    pairs = Counter((old, new) for old, new in zip(before, after, strict=True) if old != new)
    return dict(sorted(pairs.items(), key=lambda item: (-item[1], item[0])))
