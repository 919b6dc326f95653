"""How good calls of labelled cells are, with intervals that know which cells belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.stats import metrics
from napari_deepheme.stats.calibration import expected_calibration_error
from napari_deepheme.taxonomy import Taxonomy

TITLES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "tolerant_accuracy": "accuracy, one step along a maturation line allowed",
    "lineage_accuracy": "accuracy by lineage",
    "balanced_accuracy": "mean recall of the classes",
    "ece": "expected calibration error",
}
_REPLICATES = 1000


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its 95 % bootstrap interval over patients, slides or fields; nan where there is one."""

    value: float
    low: float
    high: float


def figures(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.intp],
    taxonomy: Taxonomy,
    groups: NDArray[np.intp],
) -> dict[str, Figure]:
    """Figures of calibrated probabilities (n, k), by the keys of :data:`TITLES`.

    Parameters
    ----------
    probabilities : ndarray, shape (n, k)
    labels, groups : ndarray of intp, shape (n,)
        Class of each cell, and patient, slide, field or image.
    taxonomy : Taxonomy
    """
    called = probabilities.argmax(axis=1)
    step, kin = metrics.one_step(taxonomy), metrics.same_lineage(taxonomy)
    right = np.stack([called == labels, step[labels, called], kin[labels, called]], axis=1)
    per_class = np.eye(len(taxonomy.classes))[labels]

    def vector(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        support = weights @ per_class
        recalls = (weights * right[:, 0]) @ per_class / np.where(support > 0, support, np.nan)
        return np.append(weights @ right / weights.sum(), np.nanmean(recalls))

    members = np.unique(groups, return_inverse=True)[1]
    number = int(members.max()) + 1
    values = vector(np.ones(len(labels)))
    low = high = np.full(len(values), np.nan)
    if number > 1:
        drawn = metrics.bootstrap(lambda weights: vector(weights[members]), number, _REPLICATES)
        low, high = metrics.percentile_interval(drawn)
    found = {
        name: Figure(*map(float, each))
        for name, each in zip(TITLES, zip(values, low, high, strict=True), strict=False)
    }
    return found | {"ece": Figure(expected_calibration_error(probabilities, labels), np.nan, np.nan)}
