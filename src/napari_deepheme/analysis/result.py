"""The analysis of a slide: the facts it rests on, its cells, and what a person corrected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.audit_draw import AuditDraw
from napari_deepheme.analysis.corrections import Correction
from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.sign_off import SignOff
from napari_deepheme.cells import Cells, RawOutputs, Region
from napari_deepheme.classify.bundle import BundleSpec
from napari_deepheme.classify.stain import StainColours
from napari_deepheme.detect.base import DetectionThresholds, DetectorCalibration
from napari_deepheme.fields import Field
from napari_deepheme.jobs import Progress
from napari_deepheme.slide.metadata import SlideInfo
from napari_deepheme.stats.assessment import Assessment, AssessmentOptions, assess, called
from napari_deepheme.taxonomy import Taxonomy, extended

Positions = NDArray[np.float64]
"""Centres (y, x), level-0 pixels, shape (n, 2)."""


class NoticeKind(StrEnum):
    """What a notice is about."""

    SLIDE = "slide"
    SCALE = "scale"
    STAIN = "stain"
    OUTSIDE = "outside"
    FEW_CELLS = "few cells"
    IMPRECISE = "imprecise"
    DAMAGED = "damaged"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know before believing the numbers; ``text`` is a sentence."""

    kind: NoticeKind
    text: str


@dataclass(frozen=True, slots=True)
class SlideCalibration:
    """What was measured on a slide before its cells were searched, made once and kept with the analysis.

    Attributes
    ----------
    detector : DetectorCalibration
    stain : StainColours or None
        Colours of the slide, if crops are shown in those of the training cells.
    class_prior : tuple of float or None
        Share of each class among cells from all over the slide; None where the model does not say its share
        in training.
    crowding : float
        Share of these cells that touch another one, 0 to 1.
    crowded : bool
        Whether that is as in marrow, so that the detector's threshold for crowds is taken.
    """

    detector: DetectorCalibration = field(default_factory=DetectorCalibration)
    stain: StainColours | None = None
    class_prior: tuple[float, ...] | None = None
    crowding: float = 0.0
    crowded: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What an analysis rests on; all that is known before the first cell.

    Attributes
    ----------
    slide : SlideInfo
    bundle : BundleSpec
        Of the model.
    detector : str
        Name and version of what finds the cells; empty if they were given.
    thresholds : DetectionThresholds
        Of the detector.
    options : AnalysisOptions
    calibration : SlideCalibration
    regions : tuple of Region
        What is analysed, in this order; ``cells.region`` points into it.
    fields : tuple of Field
        All fields of the slide, judged, if those to count were chosen among them.
    notices : tuple of Notice
    calibration_cells : bytes
        The cells the model was calibrated on, as its bundle has them (see
        :class:`~napari_deepheme.stats.calibration_set.CalibrationSet`); empty where it has none.
    """

    slide: SlideInfo
    bundle: BundleSpec
    detector: str
    thresholds: DetectionThresholds
    options: AnalysisOptions
    calibration: SlideCalibration
    regions: tuple[Region, ...]
    fields: tuple[Field, ...] = ()
    notices: tuple[Notice, ...] = ()
    calibration_cells: bytes = b""

    def detection_threshold(self, options: AssessmentOptions | None = None) -> float:
        """Score from which a find counts: the one chosen, else the detector's for such a slide."""
        chosen = (options or self.options.assessment).detection_threshold
        if chosen is not None:
            return chosen
        return self.thresholds.crowded if self.calibration.crowded else self.thresholds.film


@dataclass(frozen=True, slots=True, eq=False)
class UnitResult:
    """All that is known of a unit of work: a field, a tile, or some of the given cells.

    Attributes
    ----------
    key : str
        Names the unit within its analysis.
    cells : Cells
    raw : RawOutputs
        Of the same cells.
    failure : str
        Why the unit could not be analysed; empty if it was. Such a unit has no cells.
    """

    key: str
    cells: Cells
    raw: RawOutputs
    failure: str = ""

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.raw):
            raise ValueError(f"UnitResult {self.key}: {len(self.cells)} cells, outputs of {len(self.raw)}")


@dataclass(frozen=True, slots=True)
class LearnedModel:
    """Says that the outputs of an analysis are those of a model that learned from its corrections.

    Attributes
    ----------
    parent : str
        Name and version of the run's own model.
    folder : Path
        Where the learned bundle was put.
    cells : int
        Labelled cells that it learned from.
    who, when : str
        Who took it into use, and the time in UTC, ISO 8601.
    """

    parent: str
    folder: Path
    cells: int
    who: str
    when: str


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Cells of a slide with what the members of the ensemble say of each.

    Attributes
    ----------
    facts : Facts
    ids : ndarray of int64, shape (n,)
        Of the cells, from 1 on in the order of the units; negative for those that a person added.
    cells : Cells
        Finds of every score that the detector keeps; see :meth:`counting`.
    raw : RawOutputs
        Of the same cells; rows of NaN for a cell that was added and not classified.
    units : mapping of str to str
        Key of every unit that was analysed, and why it failed or nothing.
    corrections : tuple of Correction
        By people, oldest first.
    finished : bool
        Whether the run came to its end.
    audit : AuditDraw or None
        The cells that were last drawn for an audit.
    learned : LearnedModel or None
        Set where the model in use learned from the corrections: ``facts`` and ``raw`` are of that one then.
    sign_offs : tuple of SignOff
        By people, oldest first.
    """

    facts: Facts
    ids: NDArray[np.int64]
    cells: Cells
    raw: RawOutputs
    units: Mapping[str, str] = field(default_factory=dict)
    corrections: tuple[Correction, ...] = ()
    finished: bool = True
    audit: AuditDraw | None = None
    learned: LearnedModel | None = None
    sign_offs: tuple[SignOff, ...] = ()

    @property
    def model(self) -> str:
        """Name and version of the model in use."""
        return f"{self.facts.bundle.name} {self.facts.bundle.version}"

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What a person should know."""
        return self.facts.notices

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions that were analysed: of chosen fields those that were reached."""
        regions = self.facts.regions
        if not self.facts.fields:
            return regions
        return tuple(region for region in regions if region.name in self.units)

    @property
    def taxonomy(self) -> Taxonomy:
        """The model's classes, then those that only people used."""
        return extended(self.facts.bundle.taxonomy, (c.label for c in self.corrections if c.label))

    def counting(self, options: AssessmentOptions | None = None) -> Analysis:
        """The cells at or above the detection threshold, and all that a person said something of."""
        kept = self.cells.score >= self.facts.detection_threshold(options)
        if self.corrections:
            kept |= np.isin(self.ids, [c.cell for c in self.corrections])
        return self if kept.all() else self.take(np.flatnonzero(kept))

    def take(self, index: NDArray[np.intp] | slice) -> Analysis:
        """The cells at ``index``, in its order."""
        return replace(self, ids=self.ids[index], cells=self.cells.take(index), raw=self.raw.take(index))

    def called(
        self, options: AssessmentOptions | None = None
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Calls and entropies of all the cells, quicker than :meth:`assessed`."""
        facts = self.facts
        chosen = options or facts.options.assessment
        return called(self.raw, facts.bundle.calibration, facts.calibration.class_prior, chosen)

    def assessed(self, options: AssessmentOptions | None = None) -> Assessment:
        """What is made of all the cells; see :func:`napari_deepheme.stats.assessment.assess`."""
        facts = self.facts
        return assess(
            self.raw,
            facts.bundle.calibration,
            facts.calibration.class_prior,
            options or facts.options.assessment,
        )


@dataclass(frozen=True, slots=True, eq=False)
class CellsReady(Progress):
    """Progress that carries the analysis of the unit that was just done.

    Attributes
    ----------
    found : Analysis or None
        Its cells.
    share : float
        How much of the work is done, 0 to 1: the units or the cells counted, whichever is further.
    """

    found: Analysis | None = field(default=None)
    share: float = 0.0
