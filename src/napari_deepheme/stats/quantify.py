"""Shares of classes with the classifier's confusion taken out, and intervals that hold its error.

A classifier that confuses two classes moves their percentages by an amount that more cells do not shrink.
What it does to cells of known class (the calibration cells of its bundle) tells how far, as long as the
slide's cells look like those (see :mod:`napari_deepheme.stats.exchangeability`); cells of the slide that a
person names tell it in any case (see :mod:`napari_deepheme.stats.audit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.stats.adjustment import (
    bias_factors,
    confusion_of,
    expectation_maximisation,
    invert,
)
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.intervals import Floats, wilson

MOST_CONDITION = 30.0
"""Condition number of a confusion matrix beyond which its inverse mostly multiplies noise."""
FEWEST_CELLS = 5
"""Calibration cells a class needs for its confusion to be known at all."""


AUDIT = "audit"
"""Name of what a random audit says, as the method of a :class:`Quantification`."""


class Method(StrEnum):
    """How shares are estimated, the one to believe most last.

    ``count``: classify and count. ``probabilistic``: mean probabilities (Bella et al. 2010). ``acc`` and
    ``pacc``: these two with the confusion on the calibration cells inverted (Forman 2008; Bella et al. 2010).
    ``em``: the class prior that makes the slide's probabilities likeliest (Saerens, Latinne & Decaestecker
    2002).
    """

    COUNT = "count"
    PROBABILISTIC = "probabilistic"
    ACC = "acc"
    PACC = "pacc"
    EM = "em"


_UNBIASED = {Method.COUNT: Method.ACC, Method.PROBABILISTIC: Method.PACC}
"""What takes the bias out of an estimate that has one."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantification:
    """Shares of k classes among what is counted, and their intervals; nan for a class that is not counted.

    Attributes
    ----------
    method : str
    fractions, low, high : ndarray of float64, shape (k,)
    refusal : str
        Why there are no numbers (all are nan); empty when there are.
    """

    method: str
    fractions: Floats
    low: Floats
    high: Floats
    refusal: str = ""

    @classmethod
    def refused(cls, method: str, k: int, reason: str) -> Quantification:
        """No numbers, and why."""
        unknown = np.full(k, np.nan)
        return cls(method, unknown, unknown, unknown, reason)

    def by_code(self, codes: Sequence[str]) -> Mapping[str, tuple[float, float, float]] | None:
        """Fraction, low and high of each counted class, as a differential's document takes them."""
        if self.refusal:
            return None
        columns = (self.fractions.tolist(), self.low.tolist(), self.high.tolist())
        rows = zip(codes, zip(*columns, strict=True), strict=True)
        return {code: (f, low, high) for code, (f, low, high) in rows if np.isfinite(f)}


@dataclass(frozen=True, slots=True, eq=False)
class QuantifyOptions:
    """Which classes are counted (all without ``counted``, of shape (k,)), and the bootstrap."""

    codes: tuple[str, ...]
    counted: NDArray[np.bool_] | None = None
    confidence: float = 0.95
    replicates: int = 500
    seed: int = 0


def quantify(
    probabilities: NDArray[np.floating],
    calibration: CalibrationSet,
    method: Method,
    options: QuantifyOptions,
) -> Quantification:
    """Estimate the shares of the counted classes of a slide.

    Intervals are percentiles of a bootstrap over the slide's cells and, class by class, over the calibration
    cells, and never narrower than Wilson's of the same share. Those of ``count`` and ``probabilistic`` reach
    from Wilson's of their own share to the bootstrap of ``acc`` and ``pacc``: a count is off by its bias.

    Parameters
    ----------
    probabilities : ndarray, shape (n, k)
        Of the slide's cells, before any class prior of the slide (a prior already matched would be matched
        twice).
    calibration : CalibrationSet
    method : Method
    options : QuantifyOptions

    Returns
    -------
    Quantification
        Refused, with the reason, without a counted cell and where the confusion is not known or cannot be
        inverted.
    """
    k = probabilities.shape[1]
    counted = np.ones(k, bool) if options.counted is None else options.counted
    task, reason = _task(probabilities.astype(np.float64), calibration, method, options.codes, counted)
    if task is None:
        return Quantification.refused(method, k, reason)
    once = np.ones((1, len(task.cells))), np.ones((1, len(task.known)))
    point = _among(task.estimate(method, *once), task.counted)[0]
    sampling = wilson(point * task.n_counted, np.full(len(point), task.n_counted), options.confidence)
    resampled = _bootstrap(task, _UNBIASED.get(method, method), options)
    tail = 100 * (1 - options.confidence) / 2
    inner = np.nanpercentile(resampled, [tail, 100 - tail], axis=0)
    low, high = np.fmin(inner[0], sampling[0]), np.fmax(inner[1], sampling[1])
    spread = np.full((3, k), np.nan)
    spread[:, counted] = 0.0  # never called, and no calibration cell has it
    spread[:, task.places] = np.where(task.counted, np.stack([point, low, high]), np.nan)
    return Quantification(method, *spread)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """Cells and calibration cells over the classes whose confusion is known.

    ``cells`` (n, c) and ``known`` (m, c) are probabilities, ``truth`` (m,) indices into ``places``, which
    holds the c class indices of the taxonomy.
    """

    cells: Floats
    known: Floats
    truth: NDArray[np.intp]
    places: NDArray[np.intp]
    counted: NDArray[np.bool_]

    @property
    def n_counted(self) -> int:
        return int(self.counted[self.cells.argmax(axis=1)].sum())

    def estimate(self, method: Method, weights: Floats, known_weights: Floats) -> Floats:
        """Shares (r, c) in r resamples, with how often each cell counts: (r, n) and (r, m)."""
        if method is Method.EM:
            one_hot = np.eye(self.known.shape[1])[self.truth]
            prior = known_weights @ one_hot / known_weights.sum(axis=1, keepdims=True)
            factors = bias_factors(self.known, prior, known_weights)
            return expectation_maximisation(self.cells, prior, weights, factors)
        soft = method in (Method.PROBABILISTIC, Method.PACC)
        observed = weights @ (self.cells if soft else _hard(self.cells)) / weights.sum(axis=1, keepdims=True)
        if method in (Method.COUNT, Method.PROBABILISTIC):
            return np.asarray(observed)
        said = self.known if soft else _hard(self.known)
        pairs = zip(known_weights, observed, strict=True)
        return np.stack([invert(confusion_of(self.truth, said, each), seen) for each, seen in pairs])


def _task(
    probabilities: Floats,
    calibration: CalibrationSet,
    method: Method,
    codes: Sequence[str],
    counted: NDArray[np.bool_],
) -> tuple[_Task | None, str]:
    """The task, or why there is none."""
    k = len(codes)
    places = np.flatnonzero(np.bincount(calibration.truth, minlength=k) >= FEWEST_CELLS)
    calls, inside = probabilities.argmax(axis=1), np.isin(np.arange(k), places)
    strange = [i for i in np.flatnonzero(counted & ~inside) if (calls == i).any()]
    if strange:
        i = strange[0]
        return None, (
            f"{(calls == i).sum()} cells are called {codes[int(i)]}, and the model carries fewer than "
            f"{FEWEST_CELLS} calibration cells of that class: what is confused with it is not known"
        )
    # cells called a class that neither counts nor is known are left out, here as among the calibration cells
    cells = _restrict(probabilities[inside[calls]], places)
    held = inside[calibration.calls] & inside[calibration.truth]
    truth = np.searchsorted(places, calibration.truth[held])
    known = _restrict(calibration.probabilities[held].astype(np.float64), places)
    task = _Task(cells, known, truth, places, counted[places])
    if not task.n_counted:
        return None, "no cell is counted"
    refusal = "" if method is Method.EM else _why_not(task, method, codes)
    return (None, refusal) if refusal else (task, "")


def _why_not(task: _Task, method: Method, codes: Sequence[str]) -> str:
    """Why the confusion cannot be inverted; empty when it can."""
    said = task.known if method in (Method.PROBABILISTIC, Method.PACC) else _hard(task.known)
    confusion = confusion_of(task.truth, said)
    condition = float(np.linalg.cond(confusion))
    if condition <= MOST_CONDITION:
        return ""
    gaps = np.abs(confusion[:, :, None] - confusion[:, None, :]).sum(axis=0) + 2 * np.eye(len(confusion))
    first, second = np.unravel_index(gaps.argmin(), gaps.shape)
    alike = " and ".join(codes[int(task.places[i])] for i in sorted((int(first), int(second))))
    return (
        f"the confusion of the calibration cells cannot be inverted (condition number {condition:.0f}, "
        f"at most {MOST_CONDITION:.0f}): {alike} are called nearly alike"
    )


def intervals_in_words(best: Quantification | None) -> str:
    """What the intervals beside a count hold, with the correction that may be stated, if any."""
    alone = "The intervals beside the count hold the sampling error alone."
    if best is None:
        return (
            f"{alone} How far the model's confusions move these shares is not known on this slide: the truth "
            "may lie well outside them. Audit cells of this slide for intervals that hold both."
        )
    cells = "a random audit of this slide" if best.method == AUDIT else "cells like the calibration cells"
    return f"{alone} Those of the corrected shares hold the model's error as well, by {cells}."


def _bootstrap(task: _Task, method: Method, options: QuantifyOptions) -> Floats:
    """Shares (replicates, c) of resampled cells and calibration cells, the latter class by class."""
    rng, n, r = np.random.default_rng(options.seed), len(task.cells), options.replicates
    weights = rng.multinomial(n, np.full(n, 1 / n), r).astype(np.float64)
    known_weights = np.zeros((r, len(task.known)))
    for i in range(task.known.shape[1]):
        members = np.flatnonzero(task.truth == i)
        if len(members):
            known_weights[:, members] = rng.multinomial(
                len(members), np.full(len(members), 1 / len(members)), r
            )
    return _among(task.estimate(method, weights, known_weights), task.counted)


def _hard(probabilities: Floats) -> Floats:
    return np.asarray(np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)])


def _restrict(probabilities: Floats, places: NDArray[np.intp]) -> Floats:
    """Probabilities over some of the classes, none of them quite zero."""
    kept = np.maximum(probabilities[:, places], 1e-12)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def _among(shares: Floats, counted: NDArray[np.bool_]) -> Floats:
    """Shares (r, c) among what is counted."""
    kept = np.where(counted, shares, 0.0)
    total = kept.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(kept, total, out=np.full(kept.shape, np.nan), where=total > 0))
