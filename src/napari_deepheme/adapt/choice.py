"""How to look at a laboratory's cells, and how strongly to hold on to the parent: by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import t as student

from napari_deepheme.adapt.head import (
    Correction,
    Floats,
    LastLayer,
    Lesson,
    SourceCells,
    applied,
    corrected,
    merged,
)
from napari_deepheme.adapt.look import Look

STRENGTHS = (1000.0, 300.0, 100.0, 30.0, 10.0)
"""Pulls towards the parent's last layer that are tried, the strongest first."""
KEPT = math.inf
"""The strength of the parent's own last layer, which learns nothing."""

_SMALLEST = 1e-7
_CONFIDENCE = 0.9  # of a one-sided t-test that a choice is better than the parent, cell by cell
_DOUBT = 5.0  # cells: a class with few labels counts less than one with many, but not in proportion
_TEMPERATURE_SD = 0.5  # of its logarithm: how far a laboratory's temperature is expected from the parent's


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Labelled cells as the members see them in one look.

    Attributes
    ----------
    look : Look
    layers : tuple of LastLayer
        The parent's, with k outputs: the new classes come last.
    sources : tuple of SourceCells
    features : ndarray, shape (m, n, d)
    labels : ndarray of intp, shape (n,)
    known : int
        Classes of the parent.
    temperature : float
        The parent's.
    remember : bool
        Whether cells such as the parent's own are learned with the labelled ones, as the parent calls them:
        where classes are new, or some of its own have no labels.
    """

    look: Look
    layers: tuple[LastLayer, ...]
    sources: tuple[SourceCells, ...]
    features: Floats
    labels: NDArray[np.intp]
    known: int
    temperature: float
    remember: bool

    def lessons(self, seed: int) -> tuple[Lesson, ...]:
        """What each member learns from; the labelled cells come first."""
        streams = np.random.default_rng(seed).spawn(len(self.layers))
        members = zip(self.layers, self.sources, self.features, streams, strict=True)
        return tuple(self._lesson(*member) for member in members)

    def _lesson(
        self, layer: LastLayer, source: SourceCells, features: Floats, rng: np.random.Generator
    ) -> Lesson:
        inputs, before = source.coordinates(features), layer.logits(features)
        wanted, contending = np.eye(before.shape[1])[self.labels], self._contending()
        if self.remember:
            drawn = source.drawn(rng)
            logits = layer.logits(source.features(drawn))
            inputs, before = np.concatenate([inputs, drawn]), np.concatenate([before, logits])
            wanted = np.concatenate([wanted, _as_known(logits, self.known)])
            contending = np.concatenate([contending, np.ones(logits.shape, bool)])
        return Lesson.of(inputs, before, wanted, contending)

    def _contending(self) -> NDArray[np.bool_]:
        """Classes among which each labelled cell teaches to tell.

        Labels of some classes say nothing of where the laboratory's other cells lie. Held against all
        classes, they would draw those cells to themselves: so a label tells its cell from the other labelled
        classes alone. What is new must be told from all.
        """
        classes = np.zeros(self.layers[0].bias.size, bool)
        classes[self.labels] = True
        contending: NDArray[np.bool_] = classes | (self.labels >= self.known)[:, None]
        return contending

    def parent(self) -> Floats:
        """What the parent's members say of the cells, shape (m, n, k)."""
        pairs = zip(self.layers, self.features, strict=True)
        return np.stack([_as_known(layer.logits(features), self.known) for layer, features in pairs])


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What cross-validation says of one choice.

    Attributes
    ----------
    look : Look
    strength : float
        :data:`KEPT` for the parent's own last layer.
    members : ndarray, shape (m, n, k)
        Probabilities of each labelled cell, of members that did not learn from its part.
    temperature : float
    losses : ndarray, shape (n,)
        Negative log-likelihoods of the mean at that temperature.
    """

    look: Look
    strength: float
    members: Floats
    temperature: float
    losses: Floats

    @property
    def called(self) -> NDArray[np.intp]:
        """Class of each cell, shape (n,)."""
        called: NDArray[np.intp] = self.members.mean(axis=0).argmax(axis=1)
        return called


def balance(labels: NDArray[np.intp]) -> Floats:
    """How much each cell counts, so that classes count about equally; n in all, shape (n,)."""
    weights = 1 / (np.bincount(labels)[labels] + _DOUBT)
    balanced: Floats = weights * len(labels) / weights.sum()
    return balanced


def resamples(members: int, n: int, seed: int) -> Floats:
    """How often each member sees each cell, shape (members, n); 1 on average.

    The Bayesian bootstrap (Rubin 1981, Annals of Statistics 9:130): no cell of a class with few is lost.
    """
    drawn: Floats = np.random.default_rng(seed).standard_exponential((members, n))
    frequencies: Floats = drawn * n / drawn.sum(axis=1, keepdims=True)
    return frequencies


def as_parent(material: Material) -> Outcome:
    """Judge the parent's own last layer."""
    return judged(material, KEPT, material.parent(), balance(material.labels))


def outcomes(material: Material, parts: NDArray[np.intp], seed: int) -> Iterator[Outcome]:
    """Judge corrections of the parent's last layer, from the strongest pull to the weakest.

    They end where a weaker pull makes the losses clearly worse.

    Parameters
    ----------
    material : Material
    parts : ndarray of intp, shape (n,)
        Part that each cell is left out with.
    seed : int
    """
    weights = balance(material.labels)
    lessons = material.lessons(seed)
    frequencies = resamples(len(lessons), len(parts), seed)
    found: dict[tuple[int, int], Correction] = {}
    best = np.inf
    for strength in STRENGTHS:
        members = np.empty((len(lessons), len(parts), material.layers[0].bias.size))
        for i, (lesson, often) in enumerate(zip(lessons, frequencies, strict=True)):
            for part in np.unique(parts):
                counts = with_remembered(lesson, weights * often * (parts != part))
                correction = corrected(lesson, counts, strength, found.get((i, part)))
                found[i, part] = correction
                members[i, parts == part] = applied(lesson, correction)[: len(parts)][parts == part]
        outcome = judged(material, strength, members, weights)
        yield outcome
        loss = weights @ outcome.losses / weights.sum()
        if loss > 1.02 * best:
            return
        best = min(best, loss)


def with_remembered(lesson: Lesson, weights: Floats) -> Floats:
    """Weights of a lesson: those of the labelled cells, and as much in all for the parent's."""
    drawn = len(lesson.inputs) - len(weights)
    return np.concatenate([weights, np.full(drawn, weights.sum() / max(drawn, 1))])


def judged(material: Material, strength: float, members: Floats, weights: Floats) -> Outcome:
    """An outcome with its temperature: what the cells say, held to the parent's where they are few."""
    logs = np.log(np.clip(members.mean(axis=0), _SMALLEST, None))
    rows, centre = np.arange(len(logs)), math.log(material.temperature)

    def losses(log_temperature: float) -> Floats:
        each: Floats = -log_softmax(logs / math.exp(log_temperature), axis=1)[rows, material.labels]
        return each

    def loss(log_temperature: float) -> float:
        far = (log_temperature - centre) / _TEMPERATURE_SD
        return float(weights @ losses(log_temperature) + far**2 / 2)

    chosen = float(minimize_scalar(loss, bounds=(centre - 2, centre + 2), method="bounded").x)
    return Outcome(material.look, strength, members, math.exp(chosen), losses(chosen))


def better(known: Outcome, others: Sequence[Outcome], labels: NDArray[np.intp]) -> Outcome:
    """The best of some outcomes, where it is better than a known one by more than chance; else that one."""
    best = lowest([known, *others], labels)
    weights = balance(labels)
    gains = weights * (known.losses - best.losses)
    right = weights @ (best.called == labels) - weights @ (known.called == labels)
    needed = student.ppf(_CONFIDENCE, len(gains) - 1) * math.sqrt(len(gains)) * gains.std(ddof=1)
    return best if gains.sum() > needed and right >= 0 else known


def lowest(found: Sequence[Outcome], labels: NDArray[np.intp]) -> Outcome:
    """The outcome with the lowest losses; the first of equals."""
    weights = balance(labels)
    return min(found, key=lambda outcome: float(weights @ outcome.losses))


def taught(material: Material, strength: float, seed: int) -> tuple[LastLayer, ...]:
    """Last layers that learned from all cells; the parent's at :data:`KEPT`."""
    if strength == KEPT:
        return material.layers
    lessons = material.lessons(seed)
    weights, frequencies = balance(material.labels), resamples(len(lessons), len(material.labels), seed)
    members = zip(material.layers, material.sources, lessons, frequencies, strict=True)
    return tuple(
        merged(layer, source, lesson, corrected(lesson, with_remembered(lesson, weights * often), strength))
        for layer, source, lesson, often in members
    )


def _as_known(logits: Floats, known: int) -> Floats:
    """Probabilities of the first classes alone, 0 for the others."""
    probabilities: Floats = np.pad(softmax(logits[:, :known], axis=1), ((0, 0), (0, logits.shape[1] - known)))
    return probabilities
