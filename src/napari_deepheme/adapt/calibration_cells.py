"""Labelled cells as calibration cells of an adapted model: each judged by what did not learn from it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.adapt.labelled import LabelledCells
from napari_deepheme.cells import RawOutputs
from napari_deepheme.stats.assessment import ModelCalibration, calibrated
from napari_deepheme.stats.calibration_set import FEWEST_LABELS, CalibrationSet


def calibration_cells(
    cells: LabelledCells, labels: NDArray[np.intp], left_out: RawOutputs, model: ModelCalibration
) -> CalibrationSet | None:
    """The cells that later slides are compared with; None where there are too few.

    Where enough of them were drawn at random, these alone; else all of them.

    Parameters
    ----------
    cells : LabelledCells
    labels : ndarray of intp, shape (n,)
        Class of each.
    left_out : RawOutputs
        Of each, from members and distances that did not learn from its part.
    model : ModelCalibration
        Of the adapted model.
    """
    drawn = _drawn(cells)
    rows = np.flatnonzero(drawn) if drawn.sum() >= FEWEST_LABELS else np.arange(len(cells))
    if len(rows) < FEWEST_LABELS:
        return None
    raw = left_out.take(rows)
    at_random = bool(drawn[rows].all())
    truth = labels[rows].astype(np.int64)
    return CalibrationSet(calibrated(raw, model), truth, raw.distance, at_random, cross_validated=True)


def calibration_notices(cells: LabelledCells) -> Iterator[str]:
    """What a person should know of the calibration cells that these labels make."""
    if len(cells) < FEWEST_LABELS:
        yield (
            f"Fewer than {FEWEST_LABELS} labels are too few to compare later slides with: whether a slide is "
            "like these cells stays unknown."
        )
    elif _drawn(cells).sum() < FEWEST_LABELS:
        yield (
            "Later slides are compared with the labelled cells. Nothing says that these were drawn at "
            "random: where doubtful or rare ones were chosen, cells of another laboratory may pass for them, "
            "so that no slide is green by them, and shares are not corrected by them."
        )


def _drawn(cells: LabelledCells) -> NDArray[np.bool_]:
    return np.array([name in cells.at_random for name in cells.names], bool)
