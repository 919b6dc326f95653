"""What an analysis is asked for, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_deepheme.cells import Cells, Predictions, Region
from napari_deepheme.classify.bundle import BundleSpec
from napari_deepheme.detect.choose import DEFAULT_DETECTOR
from napari_deepheme.errors import OptionError
from napari_deepheme.fields import Field
from napari_deepheme.jobs import Progress
from napari_deepheme.models.device import Device, Precision
from napari_deepheme.slide.metadata import SlideInfo


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """What to analyse and when to stop.

    Attributes
    ----------
    target_cells : int
        Stop once this many cells that the differential counts are found; 0 analyses everything.
    regions : tuple of Region
        Parts of the slide to analyse; a cell belongs to the first that holds its centre. None of them: with a
        target the fields that can be counted, best first, else all of the slide.
    device : Device
        Where the networks run.
    precision : Precision
        In what they reckon.
    batch_size : int
        Crops per pass through the classifier, on the CPU of each core; of tiles the detector takes as many as
        have their pixels.
    match_stain : bool
        Whether crops take the colours the model was trained on, measured on cells from all over the slide.
    match_prior : bool
        Whether calls reckon with how often each class occurs on the slide, estimated on the same cells.
    detector : str
        What finds the cells: an embedded detector, a detector bundle's folder or zip, or ``stain``.
    cells : Cells, optional
        Cells that are known: all of them are classified, none is searched for, and there is no target.
    """

    target_cells: int = 500
    regions: tuple[Region, ...] = ()
    detector: str = DEFAULT_DETECTOR
    cells: Cells | None = None
    device: Device = Device.AUTO
    precision: Precision = Precision.AUTO
    batch_size: int = 64
    match_stain: bool = True
    match_prior: bool = True

    def __post_init__(self) -> None:
        if self.target_cells < 0:
            raise OptionError(
                f"Target cells: {self.target_cells} is below zero; give a number of cells, or 0 for all."
            )
        if self.batch_size < 1:
            raise OptionError(f"Batch size: {self.batch_size} is below one; give 1 or more.")


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Cells of a slide with what the ensemble says of each.

    Attributes
    ----------
    slide : SlideInfo
    bundle : BundleSpec
    regions : tuple of Region
        What was analysed; ``cells.region`` points into it.
    cells : Cells
        n of them, in the order found.
    predictions : Predictions
        Of the same n cells.
    warnings : tuple of str
        What a person should know before believing the numbers.
    detector : str
        What found the cells, with its version; ``given`` if they were known.
    stain_matched : bool
        Whether the cells were shown to the model in the colours it was trained on.
    mixture : tuple of float or None
        Share of each class that the calls reckon with; None: that of what the model learned from.
    fields : tuple of Field
        All fields of the slide, judged, if those to count were chosen among them.
    """

    slide: SlideInfo
    bundle: BundleSpec
    regions: tuple[Region, ...]
    cells: Cells
    predictions: Predictions
    warnings: tuple[str, ...]
    detector: str
    stain_matched: bool = False
    mixture: tuple[float, ...] | None = None
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CellsReady(Progress):
    """Progress that carries the analysis of the cells classified since the last one.

    Attributes
    ----------
    found : Analysis or None
        The new cells.
    share : float
        How much of the work is done, 0 to 1: the fields seen or the cells counted, whichever is further.
    """

    found: Analysis | None = field(default=None)
    share: float = 0.0
