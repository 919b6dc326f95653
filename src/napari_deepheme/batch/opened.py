"""The options of a plan for a slide, and the analysis file they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Notice, NoticeKind
from napari_deepheme.batch.plan import Plan
from napari_deepheme.errors import AnalysisFileError, DeepHemeError
from napari_deepheme.given import check_on_slide, read_cells
from napari_deepheme.slide.reader import Slide
from napari_deepheme.store import AnalysisFile, continued, signature_of


def analysis_options(plan: Plan, slide: Slide) -> AnalysisOptions:
    """The options, with the cells and regions that are given, if they lie on the slide."""
    if plan.roi is not None:
        check_on_slide(plan.options.regions, slide.info.shape, plan.roi)
    if plan.cells is None:
        return plan.options
    return replace(plan.options, cells=read_cells(plan.cells, slide.info.mpp))


def opened_analysis(
    engine: Engine, plan: Plan, slide: Slide, options: AnalysisOptions
) -> tuple[AnalysisFile, list[Notice]]:
    """The analysis file that a run writes, and what is to be said of it."""
    signature = signature_of(slide, engine.bundle, options)
    file, remark = continued(slide.info.path, plan.out, signature, fresh=plan.fresh)
    return file, [Notice(NoticeKind.STORED, remark)] if remark else []


@contextmanager
def naming_what_is_saved(file: AnalysisFile | None) -> Iterator[None]:
    """Have a message that ends a run say what need not be done again."""
    try:
        yield
    except DeepHemeError as err:
        parts = 0
        if file is not None:
            with suppress(AnalysisFileError):  # the disk of the analysis may be the one that fails
                parts = len(file.done())
        if file is None or not parts:
            raise
        saved = f"{parts} parts of the slide are saved in {file.path}; the same command goes on with them."
        raise type(err)(f"{err} {saved}") from err
