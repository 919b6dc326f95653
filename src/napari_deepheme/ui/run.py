"""One classification as the dock runs it: the job, and its results as they come. No Qt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from napari.layers import Image

from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.analysis.result import Analysis, CellsReady, NoticeKind
from napari_deepheme.analysis.run import analyse_with
from napari_deepheme.analysis.sink import Memory
from napari_deepheme.analysis.stopping import counted_in
from napari_deepheme.classify.bundle import Bundle, load_bundle
from napari_deepheme.errors import AnalysisFileError, SlideError
from napari_deepheme.fields import Field, judge_fields
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide import Slide, open_slide
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.store import AnalysisFile, analysis_folder, continued, signature_of
from napari_deepheme.ui.drawn import image_shape
from napari_deepheme.ui.layers import moved_to
from napari_deepheme.ui.networks import Networks
from napari_deepheme.ui.slides import given_mpp, slide_path


@dataclass(frozen=True, slots=True)
class SlideFile:
    """The file behind an image layer.

    Attributes
    ----------
    path : Path or RemotePath
    mpp : float or None
        µm/px that a person gave; None takes the file's.
    shown_shape : tuple of int
        Rows and columns of the image layer; the file must have as many for the cells to lie on it.
    """

    path: SlidePath
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


@dataclass(frozen=True, slots=True, eq=False)
class Opened(Progress):
    """The run has a place for its cells.

    Attributes
    ----------
    file : AnalysisFile or None
        None where no file could be written.
    analysis : Analysis or None
        What an earlier run left in it.
    remark : str
        A sentence worth showing, or nothing.
    """

    file: AnalysisFile | None = field(default=None)
    analysis: Analysis | None = field(default=None)
    remark: str = ""


def classify_job(
    request: Request, files: Sequence[AnalysisFile] = (), networks: Networks | None = None
) -> Job[Analysis]:
    """Open the slide and the model, analyse into a file, and close the slide however it ends.

    Parameters
    ----------
    request : Request
    files : sequence of AnalysisFile
        Those open in the window: one of the same signature is gone on with.
    networks : Networks, optional
        Those of the window, perhaps loaded already.

    Yields
    ------
    Progress
        :class:`Opened` once: from then on its file belongs to the receiver, who closes it.
    """
    yield Progress("Opening the slide")
    with request.slide.opened() as slide:
        slide.scale()  # before a file is made
        yield Progress("Loading the model")
        bundle = load_bundle(request.model)
        opened = _place(slide, bundle, request.options, files)
        yield opened
        sink = opened.file if opened.file is not None else Memory()
        if opened.file is not None:
            opened.file.found_at(request.model)
        engine = (networks or Networks()).engine(bundle, request.run)
        return (yield from analyse_with(engine, slide, request.options, sink))


def _place(slide: Slide, bundle: Bundle, options: AnalysisOptions, files: Sequence[AnalysisFile]) -> Opened:
    """The file that a run goes into: one that is open, one on disk, a new one, or none with the reason."""
    signature = signature_of(slide, bundle, options)
    for file in files:
        if dict(file.signature) == signature:
            return Opened("Loading the model", file=file)
    try:
        path = slide.info.path
        file, remark = continued(path, analysis_folder(path), signature)
    except (AnalysisFileError, OSError) as err:
        return Opened("Loading the model", remark=f"⚠ Kept in memory only, export it before closing: {err}")
    # the file may be of the same slide in another place
    begun = moved_to(file.analysis(), path) if file.facts() is not None else None
    return Opened("Loading the model", file=file, analysis=begun, remark=remark)


def fields_job(file: SlideFile) -> Job[tuple[Field, ...]]:
    """Open the slide, judge its fields, and close it however it ends."""
    yield Progress("Opening the slide")
    with file.opened() as slide:
        return (yield from judge_fields(slide))


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
