"""From what the members of an ensemble said to calls, uncertainties and what a person should look at.

The only place where these are decided. Everything here is a pure function of raw outputs, the model's
calibration, the slide's class prior and a few options, so that it can be computed anew at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.cells import RawOutputs
from napari_deepheme.errors import OptionError
from napari_deepheme.stats.calibration import SMALLEST, pool
from napari_deepheme.stats.prior import with_prior
from napari_deepheme.stats.rules import CountingRule
from napari_deepheme.stats.uncertainty import entropy, member_joint, mutual_information
from napari_deepheme.taxonomy import Taxonomy

_CHUNK = 20_000  # cells at once: the arrays of more do not fit the processor's cache


@dataclass(frozen=True, slots=True)
class ModelCalibration:
    """What a model was calibrated to on cells held back from its training.

    Attributes
    ----------
    taxonomy : Taxonomy
        The classes, in the order of the outputs.
    temperature : float
        Of the members' mean (see :func:`napari_deepheme.stats.calibration.pool`).
    review_threshold : float
        Entropy in nats under the training prior; calls above it need a person.
    conformal_threshold : float
        Probability under the training prior from which a class belongs to a cell's conformal set.
    ood_threshold : float
        Out-of-distribution distance above which a cell is unlike the training cells.
    class_prior : tuple of float or None
        Share of each class in training; None where it is not known.
    """

    taxonomy: Taxonomy
    temperature: float = 1.0
    review_threshold: float = 0.0
    conformal_threshold: float = 0.0
    ood_threshold: float = np.inf
    class_prior: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class AssessmentOptions:
    """Choices that can be changed after a run, at once.

    Attributes
    ----------
    detection_threshold : float or None
        Detector score from which a find counts as a cell; None takes the detector's own, which differs
        between a film and crowded marrow.
    review_threshold : float or None
        Entropy (nats) above which a cell needs a person; None takes the model's own, the only one with a
        guarantee.
    match_prior : bool
        Whether calls use the class prior of the slide in place of the one in training.
    rule : CountingRule or None
        What the differential counts, kept whole: a file of one's own may be gone later; None for ICSH's.
    """

    detection_threshold: float | None = None
    review_threshold: float | None = None
    match_prior: bool = True
    rule: CountingRule | None = None

    def __post_init__(self) -> None:
        if self.detection_threshold is not None and not 0 <= self.detection_threshold <= 1:
            raise OptionError(
                f"Detection threshold: {self.detection_threshold:g} is not a score; give 0 to 1."
            )
        if self.review_threshold is not None and not self.review_threshold >= 0:
            raise OptionError(
                f"Review threshold: {self.review_threshold:g} is not an entropy; give 0 nats or more."
            )

    def or_kept(self, kept: AssessmentOptions) -> AssessmentOptions:
        """These, with thresholds that are not given here as a person set them before."""
        detection, review = self.detection_threshold, self.review_threshold
        return AssessmentOptions(
            kept.detection_threshold if detection is None else detection,
            kept.review_threshold if review is None else review,
            self.match_prior,
        )


class ReviewReason(IntFlag):
    """Why a person should look at a cell."""

    UNSURE = 1
    """The entropy under the training prior is above the review threshold."""
    UNLIKE = 2
    """The cell is unlike the training cells; only for calls that the differential counts."""
    PRIOR = 4
    """The call stands on the slide's class prior alone: no threshold was fitted for such calls."""


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """What is made of n cells; the arrays have n rows.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (n, k)
        Calibrated, under the slide's class prior where that was matched; each row sums to one.
    call, second : ndarray of intp, shape (n,)
        The most and the second most probable class.
    entropy, mutual_information : ndarray of float64, shape (n,)
        Of these probabilities, nats; 0 ≤ mutual information ≤ entropy ≤ log k. The former is NaN where of
        several members one alone was asked, for nothing is known of how they differ.
    votes : ndarray of intp, shape (n, m)
        The class that each member calls, at the same temperature and prior; -1 where one was not asked.
    trained_entropy : ndarray of float64, shape (n,)
        Entropy under the training prior, which is what the review threshold was fitted for, nats.
    conformal : ndarray of bool, shape (n, k)
        The conformal set, under the training prior, for which it was fitted; never empty.
    review : ndarray of uint8, shape (n,)
        :class:`ReviewReason` flags; 0 where nobody needs to look.
    """

    probabilities: NDArray[np.float32]
    call: NDArray[np.intp]
    second: NDArray[np.intp]
    entropy: NDArray[np.float64]
    mutual_information: NDArray[np.float64]
    votes: NDArray[np.intp]
    trained_entropy: NDArray[np.float64]
    conformal: NDArray[np.bool_]
    review: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.call)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the call, (n,)."""
        return self.probabilities[np.arange(len(self)), self.call]

    @property
    def agreement(self) -> NDArray[np.float64]:
        """Share of the members asked that vote for the call, (n,)."""
        votes = (self.votes == self.call[:, None]).sum(axis=1)
        share: NDArray[np.float64] = votes / np.maximum((self.votes >= 0).sum(axis=1), 1)
        return share

    @property
    def needs_review(self) -> NDArray[np.bool_]:
        """Where a person should look, (n,)."""
        needed: NDArray[np.bool_] = self.review != 0
        return needed

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Assessment:
        """The cells at ``index``, in its order."""
        return Assessment(*(getattr(self, column.name)[index] for column in fields(self)))


def assess(
    raw: RawOutputs,
    model: ModelCalibration,
    prior: Sequence[float] | None = None,
    options: AssessmentOptions | None = None,
) -> Assessment:
    """Compute calls, probabilities, uncertainties and reasons for review.

    The members are averaged, the temperature follows (Rahaman & Thiery 2021), then the class prior. Cells
    whose out-of-distribution distance is above the model's threshold never gain confidence by the
    temperature, because it was not fitted on such cells.

    Parameters
    ----------
    raw : RawOutputs
        Of n cells.
    model : ModelCalibration
    prior : sequence of float, optional
        Class prior of the slide, (k,); without it, or without the training prior, probabilities stay under
        the training prior.
    options : AssessmentOptions, optional
    """
    options = options or AssessmentOptions()
    prior = _prior(model, prior, options)
    parts = [
        _assess(raw.take(slice(start, start + _CHUNK)), model, prior, options)
        for start in range(0, max(len(raw), 1), _CHUNK)
    ]
    if len(parts) == 1:
        return parts[0]
    return Assessment(
        *(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Assessment))
    )


def called(
    raw: RawOutputs,
    model: ModelCalibration,
    prior: Sequence[float] | None = None,
    options: AssessmentOptions | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The calls (n,) and entropies (n,) of :func:`assess` alone, for counts of very many cells."""
    prior = _prior(model, prior, options or AssessmentOptions())
    calls, entropies = np.zeros(len(raw), np.intp), np.zeros(len(raw))
    for start in range(0, len(raw), _CHUNK):
        part = slice(start, start + _CHUNK)
        _, _, probabilities = _probabilities(raw.take(part), model, prior)
        calls[part], entropies[part] = probabilities.argmax(axis=1), entropy(probabilities)
    return calls, entropies


def calibrated(raw: RawOutputs, model: ModelCalibration) -> NDArray[np.float32]:
    """Probabilities (n, k) of the ensemble at the model's temperature, under the training prior."""
    return pool(raw.members, _temperatures(raw.distance, model))


def _assess(
    raw: RawOutputs, model: ModelCalibration, prior: Sequence[float] | None, options: AssessmentOptions
) -> Assessment:
    members, trained, probabilities = _probabilities(raw, model, prior)
    joint = member_joint(members, probabilities)
    asked = ~np.isnan(members[:, :, 0])
    information = mutual_information(joint)
    information[(asked.sum(axis=0) == 1) & (len(asked) > 1)] = np.nan
    call = probabilities.argmax(axis=1)
    others = probabilities.copy()
    others[np.arange(len(call)), call] = -1.0
    trained_entropy = entropy(trained)
    return Assessment(
        probabilities=probabilities.astype(np.float32),
        call=call,
        second=others.argmax(axis=1),
        entropy=entropy(probabilities),
        mutual_information=information,
        votes=np.where(asked, joint.argmax(axis=2), -1).T,
        trained_entropy=trained_entropy,
        conformal=_conformal(trained, model.conformal_threshold),
        review=_review(raw.distance, trained, trained_entropy, call, model, options),
    )


def _prior(
    model: ModelCalibration, prior: Sequence[float] | None, options: AssessmentOptions
) -> Sequence[float] | None:
    """The slide's class prior, if it is to be used and can be."""
    return prior if options.match_prior and model.class_prior is not None else None


def _probabilities(
    raw: RawOutputs, model: ModelCalibration, prior: Sequence[float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Members (m, n, k) above zero, and the ensemble (n, k) under the training prior and the slide's."""
    members = np.maximum(raw.members.astype(np.float64), SMALLEST)
    members /= members.sum(axis=2, keepdims=True)
    trained = pool(members, _temperatures(raw.distance, model)).astype(np.float64)
    if prior is None:
        return members, trained, trained
    return members, trained, with_prior(trained, np.asarray(prior), np.asarray(model.class_prior))


def _temperatures(distance: NDArray[np.float32], model: ModelCalibration) -> NDArray[np.float64]:
    return np.where(distance > model.ood_threshold, max(model.temperature, 1.0), model.temperature)


def _conformal(trained: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    inside = trained >= threshold
    inside[np.arange(len(trained)), trained.argmax(axis=1)] = True
    return inside


def _review(
    distance: NDArray[np.float32],
    trained: NDArray[np.float64],
    trained_entropy: NDArray[np.float64],
    call: NDArray[np.intp],
    model: ModelCalibration,
    options: AssessmentOptions,
) -> NDArray[np.uint8]:
    threshold = model.review_threshold if options.review_threshold is None else options.review_threshold
    # of artefacts and the like it is no news that they resemble no cell
    counted = np.array([cell_class.counted for cell_class in model.taxonomy.classes])[call]
    review = np.zeros(len(call), np.uint8)
    review[trained_entropy > threshold] |= np.uint8(ReviewReason.UNSURE)
    review[counted & (distance > model.ood_threshold)] |= np.uint8(ReviewReason.UNLIKE)
    review[trained.argmax(axis=1) != call] |= np.uint8(ReviewReason.PRIOR)
    return review
