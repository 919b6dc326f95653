"""Is this slide one of ours? Its cells against the cells the model was calibrated on.

Every promise fitted on the calibration cells (review threshold, conformal sets, corrected shares) holds for
cells exchangeable with them, and silently for no others. So this is asked before anything is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr
from scipy.stats import rankdata

from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.intervals import Floats

ALARM, SURE = 0.03, 0.001
"""p-values at which a slide is no longer green, and at which it may be red. The first leaves room below 5 %
of false alarms, for the mix of classes called the same differs a little from slide to slide."""
NEAR, FAR = 0.05, 0.10
"""How much the chance that a cell of the slide ranks above a calibration cell called the same departs from
one half, for a difference to matter, and for a sure one to be large. Without the first a large slide would no
longer be green for the little that the mix of classes alone changes in what is called a class."""
FEWEST = 20
"""Counted cells of the slide below which no alarm means nothing."""


class Verdict(StrEnum):
    """Whether promises made on the calibration cells hold: they do, they may not, they do not; or unknown."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    UNKNOWN = "unknown"


_ADVICE = {
    Verdict.GREEN: "Cells look like those the model was calibrated on: its intervals and thresholds hold.",
    Verdict.AMBER: (
        "Cells differ a little from those the model was calibrated on: audit about 50 cells before you rely "
        "on corrected shares or on the review threshold."
    ),
    Verdict.RED: (
        "Cells do not look like those the model was calibrated on: its review threshold and corrected shares "
        "promise nothing here. Adapt the model to this laboratory, audit cells of this slide, or take "
        "another model."
    ),
    Verdict.UNKNOWN: (
        "Whether the model's promises hold here is not known: {reason}. Audit cells of this slide before you "
        "rely on them."
    ),
}
_CHOSEN = (
    " It was calibrated on cells that people chose to label, not on a random sample: the choice alone may "
    "make the difference."
)
NO_CELLS = "it carries no calibration cells"
"""Why nothing is known without calibration cells."""
_FEW = "too few counted cells can be compared"
_CHOSEN_BY_PEOPLE = (
    "no difference was found, but it was calibrated on cells that people chose to label, not on a random "
    "sample, and cells of another laboratory may pass for them"
)


@dataclass(frozen=True, slots=True)
class Exchangeability:
    """Outcome of the test.

    Attributes
    ----------
    verdict : Verdict
    p : float
        Chance of so large a difference between exchangeable cells; nan where it is unknown.
    distance, entropy : float
        Chance that a cell of the slide lies further out, or is less surely called, than a calibration cell
        called the same; 0.5 for no difference, nan where it is unknown.
    n, n_calibration : int
        Cells compared.
    at_random : bool
        Whether the calibration cells are a random sample.
    reason : str
        Why nothing is known, as part of a sentence; empty where something is.
    """

    verdict: Verdict
    p: float
    distance: float
    entropy: float
    n: int
    n_calibration: int
    at_random: bool = True
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether promises made on the calibration cells, and shares corrected by them, may be stated."""
        return self.verdict is Verdict.GREEN

    @property
    def advice(self) -> str:
        """What it means and what to do, in a sentence or two."""
        words = _ADVICE[self.verdict].format(reason=self.reason)
        return words if self.at_random or self.verdict is Verdict.UNKNOWN else words + _CHOSEN


def exchangeability(
    probabilities: NDArray[np.floating],
    distance: NDArray[np.floating],
    calibration: CalibrationSet | None,
    counted: NDArray[np.bool_] | None = None,
    permutations: int = 1999,
    seed: int = 0,
) -> Exchangeability:
    """Test whether a slide's cells look like the calibration cells called the same.

    Distances and entropies are ranked within each called class, for classes look different and every slide
    has its own mix of them (van Elteren 1960, Bull Inst Int Stat 37:351); the larger departure of the two
    standardised rank sums is compared with that of random exchanges within the classes (Westfall & Young
    1993, for two statistics at once). Two-sided: cells on which the model is more confident than on
    real ones, such as rendered cells it learned from, differ from the calibration cells as well. If
    the calibration cells are cross-validated, the final model has a lower entropy on new cells, so a lower
    entropy is no alarm. If people chose them, they may be more uncertain and more unusual than the cells of a
    slide: then neither a lower entropy nor a smaller distance is an alarm, and without an alarm the verdict
    is unknown, never green.

    Parameters
    ----------
    probabilities : ndarray, shape (n, k)
        Of the slide's cells, before any class prior of the slide.
    distance : ndarray, shape (n,)
        Out-of-distribution distance; nan where the model knows none.
    calibration : CalibrationSet or None
        None where the model carries none.
    counted : ndarray of bool, shape (k,), optional
        Classes that are counted; of artefacts and the like it is no news that they resemble no cell.
    permutations, seed : int
    """
    if calibration is None:
        return _unknown(len(distance), 0, NO_CELLS)
    kept = np.ones(probabilities.shape[1], bool) if counted is None else counted
    strata = _strata(probabilities, distance, calibration, kept)
    n, held = (sum(getattr(each, name) for each in strata) for name in ("n", "n_calibration"))
    if n == 0 or held == 0:
        return _unknown(n, held, _FEW)
    sides = _two_sided(calibration)
    p = _p_value(strata, sides, permutations, np.random.default_rng(seed))
    pairs = sum(each.n * each.n_calibration for each in strata)
    far, unsure = np.sum([each.wins() for each in strata], axis=0) / pairs
    largest = float(np.nanmax(_departures(np.array([far, unsure]) - 0.5, sides)))
    verdict, reason = _verdict(p, largest, n, calibration)
    return Exchangeability(verdict, p, float(far), float(unsure), n, held, calibration.at_random, reason)


def _p_value(
    strata: list[_Stratum], two_sided: NDArray[np.bool_], permutations: int, rng: np.random.Generator
) -> float:
    """How often random exchanges depart as far as the slide's cells, in the larger of the two statistics."""
    observed = np.sum([each.statistic() for each in strata], axis=0)
    exchanged = np.sum([each.exchanged(permutations, rng) for each in strata], axis=0)
    spread = exchanged.std(axis=0)
    usable = spread > 0
    centre, spread, sides = exchanged.mean(axis=0)[usable], spread[usable], two_sided[usable]
    most = _departures((exchanged[:, usable] - centre) / spread, sides).max(axis=1, initial=0.0)
    departure = _departures((observed[usable] - centre) / spread, sides).max(initial=0.0)
    return float((1 + (most >= departure - 1e-9).sum()) / (1 + permutations))


def _unknown(n: int, n_calibration: int, reason: str) -> Exchangeability:
    return Exchangeability(Verdict.UNKNOWN, np.nan, np.nan, np.nan, n, n_calibration, reason=reason)


def _two_sided(calibration: CalibrationSet) -> NDArray[np.bool_]:
    """Whether smaller distances and entropies than the calibration cells' are an alarm, shape (2,)."""
    return np.array([calibration.at_random, calibration.at_random and not calibration.cross_validated])


def _departures(differences: Floats, two_sided: NDArray[np.bool_]) -> Floats:
    return np.asarray(np.where(two_sided, np.abs(differences), differences))


def _verdict(p: float, effect: float, n: int, calibration: CalibrationSet) -> tuple[Verdict, str]:
    """The verdict, and the reason where it is unknown."""
    if p <= SURE or (p <= ALARM and effect >= NEAR):
        return (Verdict.RED if p <= SURE and effect >= FAR else Verdict.AMBER), ""
    if n < FEWEST:
        return Verdict.UNKNOWN, _FEW
    return (Verdict.GREEN, "") if calibration.at_random else (Verdict.UNKNOWN, _CHOSEN_BY_PEOPLE)


@dataclass(frozen=True, slots=True, eq=False)
class _Stratum:
    """Cells called one class: ranks (n + n_calibration, 2) of distance and entropy, the slide's first."""

    ranks: Floats
    n: int

    @property
    def n_calibration(self) -> int:
        return len(self.ranks) - self.n

    def statistic(self) -> Floats:
        return np.asarray(self.ranks[: self.n].sum(axis=0) / (len(self.ranks) + 1))

    def wins(self) -> Floats:
        """Pairs of a slide's and a calibration cell in which the slide's ranks higher, ties half."""
        wins: Floats = self.ranks[: self.n].sum(axis=0) - self.n * (self.n + 1) / 2
        return wins

    def exchanged(self, times: int, rng: np.random.Generator) -> Floats:
        """Statistic (times, 2) with the slide's cells drawn at random from all."""
        total = len(self.ranks)
        marks = np.zeros((times, total))
        marks[:, : self.n] = 1.0 / (total + 1)
        return np.asarray(rng.permuted(marks, axis=1) @ np.nan_to_num(self.ranks))


def _strata(
    probabilities: NDArray[np.floating],
    distance: NDArray[np.floating],
    calibration: CalibrationSet,
    counted: NDArray[np.bool_],
) -> list[_Stratum]:
    entropy = entr(probabilities.astype(np.float64)).sum(axis=1)
    ours = np.column_stack([distance.astype(np.float64), entropy])
    theirs = np.column_stack([calibration.distance.astype(np.float64), calibration.entropy])
    calls, known = probabilities.argmax(axis=1), calibration.calls
    strata = []
    for i in np.flatnonzero(counted):
        mine, reference = ours[calls == i], theirs[known == i]
        if len(mine) and len(reference):
            # nan, a distance the model does not know, ranks as nan throughout
            ranks = rankdata(np.concatenate([mine, reference]), axis=0, nan_policy="propagate")
            strata.append(_Stratum(ranks, len(mine)))
    return strata
