"""What a person chooses before an analysis: what changes the science, apart from how it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_deepheme.cells import Cells, Region
from napari_deepheme.detect.choose import DEFAULT_DETECTOR
from napari_deepheme.errors import OptionError
from napari_deepheme.models.device import Backend, Device, Precision
from napari_deepheme.stats.assessment import AssessmentOptions

if TYPE_CHECKING:
    from napari_deepheme.stats.planning import StopRule


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """What to analyse; belongs to the analysis and is kept with it.

    Attributes
    ----------
    target_cells : int
        Stop once this many cells that the differential counts are found; the field in which the number is
        reached is counted whole. 0 analyses everything.
    regions : tuple of Region
        Parts of the slide to analyse; a cell belongs to the first that holds its centre. None of them: with a
        target the fields that can be counted, best first, else all of the slide.
    detector : str
        What finds the cells: an embedded detector, a detector bundle's folder or zip, or ``stain``.
    cells : Cells, optional
        Cells that are given: all of them are classified, none is searched for, and there is no target.
    until : StopRule, optional
        Beyond the target, count on until a class is as precise as asked, as long as there is something to
        count.
    match_stain : bool
        Whether crops are shown in the colours of the training cells, measured on cells from all over the
        slide. Only for models that say what these colours are.
    cascade : bool
        Whether members are asked one after another, of a cell no more once its call is settled. Only for
        models with a threshold for it.
    assessment : AssessmentOptions
        Choices that can still be changed after the run.
    """

    target_cells: int = 500
    regions: tuple[Region, ...] = ()
    detector: str = DEFAULT_DETECTOR
    cells: Cells | None = None
    until: StopRule | None = None
    match_stain: bool = True
    cascade: bool = False
    assessment: AssessmentOptions = field(default_factory=AssessmentOptions)

    def __post_init__(self) -> None:
        if self.target_cells < 0:
            raise OptionError(
                f"Target cells: {self.target_cells} is below zero; give a number of cells, or 0 for all."
            )
        if self.cells is not None and self.target_cells:
            object.__setattr__(self, "target_cells", 0)
        if self.until is not None and not self.target_cells:
            raise OptionError(
                f"Counting until {self.until.code} is precise needs a target; without one all is counted."
            )

    @property
    def by_fields(self) -> bool:
        """Whether the fields worth counting are chosen first."""
        return bool(self.target_cells) and not self.regions and self.cells is None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How an analysis runs; results are the same but for rounding.

    Attributes
    ----------
    device : Device
        Where the networks run.
    precision : Precision
        Precision of the networks' arithmetic.
    batch_size : int
        Crops per pass through the classifier on each core of the CPU, where larger passes do not fit the
        caches; a GPU takes four times as many. Of tiles the detector takes as many as have their pixels.
    backend : Backend
        What computes the classifier's networks.
    """

    device: Device = Device.AUTO
    precision: Precision = Precision.AUTO
    batch_size: int = 16
    backend: Backend = Backend.TORCH

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError(f"Batch size: {self.batch_size} is below one; give 1 or more.")
