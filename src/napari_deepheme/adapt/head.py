"""A new last layer on frozen features, pulled towards what the parent knew. No torch here.

The logits of a member are those of its parent plus a linear correction, V u + c, where u are the features
in coordinates in which the parent's own cells have unit spread. The penalty on V (a ridge, whose anchor is
the parent's last layer) is then the mean square by which the logits of the parent's own cells may change: a
correction is cheap along directions in which only the laboratory differs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]

_SHRINKAGE = 1e-2  # of the mean variance, added to each direction
_BIAS = 0.05  # of the penalty on the weights: a shift of all cells of a class is the first thing to learn
_REMEMBERED = 20  # cells drawn of each class that the parent knew, where a new class is learned
_STEPS, _TOLERANCE = 60, 1e-5
_NEVER = -1e3  # a logit that no correction makes count


@dataclass(frozen=True, slots=True, eq=False)
class LastLayer:
    """Weights (k, d) and biases (k,) of a member's last layer."""

    weight: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """Outputs (n, k) for features (n, d)."""
        outputs: Floats = features @ self.weight.T + self.bias
        return outputs


@dataclass(frozen=True, slots=True, eq=False)
class SourceCells:
    """What a member's features of the parent's own cells were like: a Gaussian a class, of one shape.

    Attributes
    ----------
    middle : ndarray, shape (d,)
        Mean of the classes.
    whitening : ndarray, shape (d, r)
        Features less the middle, times this, have unit spread; r is d, or fewer where the parent recorded
        only the directions in which features vary most.
    back : ndarray, shape (r, d)
        From those coordinates to features less the middle.
    centres : ndarray, shape (c, r)
        Means of the classes, in those coordinates.
    within : ndarray, shape (r, r)
        Square root of the spread within classes: standard normal rows times this, in those coordinates.
    """

    middle: Floats
    whitening: Floats
    back: Floats
    centres: Floats
    within: Floats

    @classmethod
    def of(cls, whitening: Floats, centres: Floats, features: Floats) -> SourceCells:
        """From a member's part of a :class:`~napari_deepheme.classify.ood.OodReference`.

        What the reference leaves out, the mean along all other directions, is taken from ``features`` (n, d)
        of the labelled cells.
        """
        directions, mixing = np.linalg.qr(whitening)
        unmixed = np.linalg.inv(mixing)
        means = centres @ unmixed
        gaps = means - means.mean(axis=0)
        spread = unmixed.T @ unmixed + gaps.T @ gaps / len(gaps)
        spread += np.eye(len(spread)) * (_SHRINKAGE * np.trace(spread) / len(spread))
        root = np.linalg.cholesky(spread).T
        turn = np.linalg.inv(root)
        mean = features.mean(axis=0)
        aside = mean - mean @ directions @ directions.T
        return cls(
            middle=means.mean(axis=0) @ directions.T + aside,
            whitening=directions @ turn,
            back=root @ directions.T,
            centres=gaps @ turn,
            within=unmixed @ turn,
        )

    @classmethod
    def like(cls, features: Floats) -> SourceCells:
        """Where the parent recorded nothing: the mean and the scale of the labelled cells, no classes."""
        scale = features.std(axis=0)
        scale = np.maximum(scale, 1e-3 * max(scale.max(), 1e-6))
        nothing = np.zeros((0, len(scale)))
        return cls(
            features.mean(axis=0), np.diag(1 / scale), np.diag(scale), nothing, np.zeros((len(scale),) * 2)
        )

    def coordinates(self, features: Floats) -> Floats:
        """Features (n, d) in coordinates of unit spread."""
        turned: Floats = (features - self.middle) @ self.whitening
        return turned

    def features(self, coordinates: Floats) -> Floats:
        """Coordinates back to features."""
        original: Floats = coordinates @ self.back + self.middle
        return original

    def drawn(self, rng: np.random.Generator) -> Floats:
        """Coordinates of cells that the parent might have learned from, as many of each class."""
        normal = rng.standard_normal((len(self.centres) * _REMEMBERED, self.within.shape[0]))
        remembered: Floats = self.centres.repeat(_REMEMBERED, axis=0) + normal @ self.within
        return remembered


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a correction is fitted to: n cells in r coordinates.

    Attributes
    ----------
    inputs : ndarray, shape (n, r)
    basis : ndarray, shape (r, d)
        Of the inputs, in the coordinates of :class:`SourceCells`.
    before : ndarray, shape (n, k)
        The parent's logits.
    wanted : ndarray, shape (n, k)
        Probabilities.
    contending : ndarray of bool, shape (n, k)
        Classes among which a cell teaches to tell.
    """

    inputs: Floats
    basis: Floats
    before: Floats
    wanted: Floats
    contending: NDArray[np.bool_]

    @classmethod
    def of(
        cls, coordinates: Floats, before: Floats, wanted: Floats, contending: NDArray[np.bool_] | None = None
    ) -> Lesson:
        """Reduce the coordinates to the space that the cells span: no correction ever leaves it.

        By default all classes contend.
        """
        among = np.ones(wanted.shape, bool) if contending is None else contending
        if len(coordinates) >= coordinates.shape[1]:
            return cls(coordinates, np.eye(coordinates.shape[1]), before, wanted, among)
        basis, inputs = np.linalg.qr(coordinates.T)
        return cls(inputs.T, basis.T, before, wanted, among)


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """What is added to logits: ``weight`` (k, r) on the inputs of a lesson, ``bias`` (k,)."""

    weight: Floats
    bias: Floats


def corrected(
    lesson: Lesson, weights: Floats, strength: float, start: Correction | None = None
) -> Correction:
    """Fit a correction: cross-entropy, and half of ``strength`` times the squared correction.

    Parameters
    ----------
    lesson : Lesson
    weights : ndarray, shape (n,)
        How much each cell counts; 0 leaves it out.
    strength : float
        Of the pull towards the parent.
    start : Correction, optional
        Of a strength near by, to begin with.
    """
    used = weights > 0
    before = np.where(lesson.contending, lesson.before, _NEVER)[used]
    inputs, wanted = lesson.inputs[used], lesson.wanted[used]
    weights, (k, r) = weights[used, None], (before.shape[1], inputs.shape[1])

    def loss(flat: Floats) -> tuple[float, Floats]:
        weight, bias = flat[: k * r].reshape(k, r), flat[k * r :]
        logs = log_softmax(before + inputs @ weight.T + bias, axis=1)
        slope = (np.exp(logs) - wanted) * weights
        penalty = strength / 2 * ((weight**2).sum() + _BIAS * (bias**2).sum())
        slopes = (slope.T @ inputs + strength * weight).ravel(), slope.sum(axis=0) + strength * _BIAS * bias
        return float(penalty - (weights * wanted * logs).sum()), np.concatenate(slopes)

    first = np.zeros(k * r + k)
    if start is not None:
        first = np.concatenate([start.weight.ravel(), start.bias])
    options = {"maxiter": _STEPS, "ftol": _TOLERANCE}
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options=options).x
    return Correction(found[: k * r].reshape(k, r), found[k * r :])


def applied(lesson: Lesson, correction: Correction) -> Floats:
    """Probabilities (n, k) of the cells of a lesson."""
    logits = lesson.before + lesson.inputs @ correction.weight.T + correction.bias
    probabilities: Floats = softmax(logits, axis=1)
    return probabilities


def merged(layer: LastLayer, source: SourceCells, lesson: Lesson, correction: Correction) -> LastLayer:
    """The last layer that gives its own outputs plus the correction."""
    weight = correction.weight @ lesson.basis @ source.whitening.T
    return LastLayer(layer.weight + weight, layer.bias + correction.bias - weight @ source.middle)


def widened(layer: LastLayer, shares: Floats) -> LastLayer:
    """A layer with rows for new classes, each a mean of those that its cells were called.

    Parameters
    ----------
    layer : LastLayer
    shares : ndarray, shape (new classes, k)
        Mean probability that the parent gave the labelled cells of each new class.
    """
    return LastLayer(
        np.concatenate([layer.weight, shares @ layer.weight]),
        np.concatenate([layer.bias, shares @ layer.bias]),
    )
