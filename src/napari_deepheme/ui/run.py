"""One classification as the dock runs it: the job, and its results as they come. No Qt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from napari.layers import Image, Points

from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.analysis.result import Analysis, CellsReady, NoticeKind
from napari_deepheme.analysis.run import analyse, counted_in
from napari_deepheme.classify.bundle import load_bundle
from napari_deepheme.errors import SlideError
from napari_deepheme.export.table import cells_table
from napari_deepheme.fields import Field, judge_fields
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide import Slide, open_slide
from napari_deepheme.ui.drawn import image_shape
from napari_deepheme.ui.layers import Origin, append_cells, cells_layer, has_edits, placement
from napari_deepheme.ui.slides import cells_on, given_mpp, slide_path
from napari_deepheme.ui.torch_import import import_torch

if TYPE_CHECKING:
    from napari.components import ViewerModel


@dataclass(frozen=True, slots=True)
class SlideFile:
    """The file behind an image layer.

    Attributes
    ----------
    path : Path
    mpp : float or None
        µm/px that a person gave; None takes the file's.
    shown_shape : tuple of int
        Rows and columns of the image layer; the file must have as many for the cells to lie on it.
    """

    path: Path
    mpp: float | None
    shown_shape: tuple[int, int]

    @classmethod
    def of(cls, image: Image) -> SlideFile | None:
        """The file of a layer; None when it has none."""
        path = slide_path(image)
        return cls(path, given_mpp(image), image_shape(image)) if path is not None else None

    @contextmanager
    def opened(self) -> Iterator[Slide]:
        """Open the slide for a job.

        Raises
        ------
        SlideError
            It cannot be read, or is not what the layer shows.
        """
        with open_slide(self.path, mpp=self.mpp) as slide:
            if slide.info.shape != self.shown_shape:
                raise SlideError(
                    f"{self.path}: the file has {slide.info.shape[0]} × {slide.info.shape[1]} px, its layer "
                    f"{self.shown_shape[0]} × {self.shown_shape[1]}; open the slide again with “Open…”."
                )
            yield slide


@dataclass(frozen=True, slots=True)
class Request:
    """What to classify.

    Attributes
    ----------
    slide : SlideFile
    model : str
        Name of an embedded bundle, or path of another.
    options : AnalysisOptions
    run : RunOptions
    """

    slide: SlideFile
    model: str
    options: AnalysisOptions
    run: RunOptions = field(default_factory=RunOptions)


def classify_job(request: Request) -> Job[Analysis]:
    """Open the slide and the model, analyse, and close the slide however it ends."""
    yield Progress("Opening the slide")
    with request.slide.opened() as slide:
        yield Progress("Loading the model")
        import_torch()
        bundle = load_bundle(request.model)
        return (yield from analyse(slide, bundle, request.options, run=request.run))


def fields_job(file: SlideFile) -> Job[tuple[Field, ...]]:
    """Open the slide, judge its fields, and close it however it ends."""
    yield Progress("Opening the slide")
    with file.opened() as slide:
        return (yield from judge_fields(slide))


class Results:
    """Cells of one run, shown in one points layer as they come.

    A new run replaces the former result of the same slide, unless that was renamed or has labels a
    person changed.
    """

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self._viewer, self._image = viewer, image
        self._name = f"{image.name} cells"
        self._waiting: list[pd.DataFrame] = []
        self._layer: Points | None = None
        self.n_cells = 0

    def add(self, part: Analysis) -> None:
        """Keep a part of the analysis until :meth:`show`."""
        table = cells_table(part)
        self._waiting.append(table)
        self.n_cells += len(table)
        spec, slide = part.facts.bundle, part.facts.slide
        model, matched = f"{spec.name} {spec.version}", _matched(part)
        self._origin = Origin(spec.taxonomy, str(slide.path), model, slide.mpp, matched)

    def show(self) -> None:
        """Bring the layer up to date."""
        if not self._waiting:
            return
        table = pd.concat(self._waiting, ignore_index=True)
        self._waiting.clear()
        if self._layer is None:
            self._remove_former()
            data, options, _ = cells_layer(table, self._origin, self._name, placement(self._image))
            self._layer = self._viewer.add_points(data, **options)
        else:
            append_cells(self._layer, table)

    def _remove_former(self) -> None:
        for layer in cells_on(self._viewer, self._image):
            if layer.name == self._name and not has_edits(layer):
                self._viewer.layers.remove(layer)


def _matched(analysis: Analysis) -> tuple[str, ...]:
    calibration, match_prior = analysis.facts.calibration, analysis.facts.options.assessment.match_prior
    matched = {
        "stain": calibration.stain is not None,
        "class prior": match_prior and calibration.class_prior is not None,
    }
    return tuple(what for what, is_so in matched.items() if is_so)


def progress_text(progress: Progress, n_cells: int, seconds: float, *, counting: bool) -> str:
    """One line: how far, how fast, how long still.

    Parameters
    ----------
    progress : Progress
    n_cells : int
        Cells found so far.
    seconds : float
        Since the first progress with a total.
    counting : bool
        Whether ``progress`` counts cells towards a target; else it counts fields.
    """
    if not progress.total:
        return f"{progress.stage}…"
    first = f"{progress.done}/{progress.total}"
    if not isinstance(progress, CellsReady):
        return f"{progress.stage} · {first}"
    if not counting:
        first = f"field {first} · {n_cells} cells"
    share = progress.share
    if not share or seconds <= 0:
        return first
    left = seconds * (1 - share) / share
    return f"{first} · {n_cells / seconds:.0f} cells/s · {minutes(left)} left"


def minutes(seconds: float) -> str:
    """As m:ss, rounded up."""
    whole = int(-(-seconds // 1))
    return f"{whole // 60}:{whole % 60:02d}"


def outcome_text(analysis: Analysis, target: int) -> str:
    """Say what a finished run found, one line for each thing worth knowing."""
    few = [notice.text for notice in analysis.notices if notice.kind is NoticeKind.FEW_CELLS]
    others = [notice.text for notice in analysis.notices if notice.kind is not NoticeKind.FEW_CELLS]
    first = f"⚠ {few[0]}" if few else _count_text(analysis, target)
    return "\n".join([first, *(f"⚠ {text}" for text in others)])


def _count_text(analysis: Analysis, target: int) -> str:
    found, counted = len(analysis.counting().ids), counted_in(analysis)
    if not found:
        return "No cells found there; try another part of the slide, and check its µm/px."
    if counted < target:
        return f"{counted} cells counted, fewer than the {target} asked for: there are no more there."
    if analysis.facts.options.cells is not None:
        return f"Done: {counted} counted of {found} given."
    fields = len(analysis.regions)
    where = f", in {fields} field{'' if fields == 1 else 's'}" if analysis.facts.fields else ""
    return f"Done: {counted} counted of {found} found{where}."
