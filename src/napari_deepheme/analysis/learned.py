"""What a model that learned from a person's corrections says of the cells of an analysis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.result import Analysis, LearnedModel, SlideCalibration
from napari_deepheme.cells import RawOutputs
from napari_deepheme.classify.bundle import BundleSpec


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A model that learned from the corrections of an analysis, and its outputs for all cells of it.

    The outputs of the run's own model stay as they are beside these.

    Attributes
    ----------
    bundle : BundleSpec
    folder : Path
        Where the bundle lies.
    calibration : SlideCalibration
        Of the slide for this model.
    cells : int
        Labelled cells that it learned from.
    ids : ndarray of int64, shape (n,)
    raw : RawOutputs
        Of these cells.
    calibration_cells : bytes
        The cells that the model was calibrated on, as its bundle has them; empty where it has none.
    who, when : str
        Who took it into use, and the time in UTC, ISO 8601; empty before that.
    """

    bundle: BundleSpec
    folder: Path
    calibration: SlideCalibration
    cells: int
    ids: NDArray[np.int64]
    raw: RawOutputs
    calibration_cells: bytes = b""
    who: str = ""
    when: str = ""


def by_learned(analysis: Analysis, learned: Learned) -> Analysis:
    """The analysis of the run's own model as a learned one calls it; what people said stays.

    A cell that the learned model was not asked about has outputs of NaN.
    """
    facts = replace(
        analysis.facts,
        bundle=learned.bundle,
        calibration=learned.calibration,
        calibration_cells=learned.calibration_cells,
    )
    raw = _in_order(learned, analysis.ids)
    own = analysis.facts.bundle
    model = LearnedModel(
        f"{own.name} {own.version}", learned.folder, learned.cells, learned.who, learned.when
    )
    return replace(analysis, facts=facts, raw=raw, learned=model)


def taught_by(analysis: Analysis) -> frozenset[int]:
    """Ids of the cells that the model in use may have learned from: labelled before it was taken into use."""
    model = analysis.learned
    if model is None:
        return frozenset()
    return frozenset(each.cell for each in analysis.corrections if each.label and each.when <= model.when)


def _in_order(learned: Learned, ids: NDArray[np.int64]) -> RawOutputs:
    """Outputs of these cells, in their order."""
    order = np.argsort(learned.ids)
    places = np.searchsorted(learned.ids, ids, sorter=order)
    rows = np.append(order, 0)[places]  # beyond the end: any row, for it is left out below
    known = np.append(learned.ids, 0)[rows] == ids if len(learned.ids) else np.zeros(len(ids), bool)
    members, _, classes = learned.raw.members.shape
    outputs = np.full((members, len(ids), classes), np.nan, np.float16)
    distance = np.full(len(ids), np.nan, np.float32)
    outputs[:, known] = learned.raw.members[:, rows[known]]
    distance[known] = learned.raw.distance[rows[known]]
    return RawOutputs(outputs, distance)
