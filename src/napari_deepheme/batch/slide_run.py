"""One slide: opened, analysed, its tables written."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Analysis, Notice
from napari_deepheme.analysis.run import analyse_with
from napari_deepheme.analysis.sink import Memory
from napari_deepheme.batch.groups import parts_of, remove_groups
from napari_deepheme.batch.opened import analysis_options, naming_what_is_saved, opened_analysis
from napari_deepheme.batch.plan import Plan
from napari_deepheme.export.counts import differential_of
from napari_deepheme.export.files import write_csv
from napari_deepheme.export.formats import export_cells
from napari_deepheme.jobs import Job
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.slide.reader import open_slide
from napari_deepheme.stats.differential import Differential
from napari_deepheme.store import AnalysisFile
from napari_deepheme.tables import check_output


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A slide that is done.

    Attributes
    ----------
    analysis : Analysis
    count : Differential
    notices : tuple of Notice
        What a person should know, of the file and of the analysis.
    files : tuple of Path
        That were written, the analysis file last.
    was_done : bool
        Whether an earlier run had finished it.
    report : dict
        Its entry of the JSON document.
    """

    analysis: Analysis
    count: Differential
    notices: tuple[Notice, ...]
    files: tuple[Path, ...]
    was_done: bool
    report: dict[str, object]


def classify_slide(engine: Engine, plan: Plan, path: SlidePath) -> Job[Finished]:
    """Classify one slide and write its results; goes on with an analysis of the same options.

    Raises
    ------
    DeepHemeError
        The slide, an option or the folder of the results cannot be used; the message says what of the slide
        is saved.
    """
    start = time.perf_counter()
    with ExitStack() as opened:
        slide = opened.enter_context(open_slide(path, mpp=plan.mpp))
        for each in plan.results(path):
            check_output(each)  # before hours of work depend on it
        options = analysis_options(plan, slide)
        file, remarks = opened_analysis(engine, plan, slide, options) if plan.store else (None, [])
        parts = None
        if file is not None:
            opened.enter_context(file)
            parts = parts_of(engine, slide, file)
        earlier = file.facts() if file is not None and file.finished else None
        was_done = earlier is not None and _target(earlier.options) == _target(options)
        with naming_what_is_saved(file):
            analysis = yield from analyse_with(engine, slide, options, file or Memory(), parts)
            finished = _written(plan, path, analysis, file, remarks)
        if file is not None:
            remove_groups(file.path)
    seconds = round(time.perf_counter() - start, 2)
    return replace(finished, was_done=was_done, report=finished.report | {"seconds": seconds})


def _target(options: AnalysisOptions) -> tuple[object, ...]:
    """Where a count ends: an analysis that has reached it has nothing left to do."""
    return options.target_cells, options.until


def _written(
    plan: Plan, path: SlidePath, analysis: Analysis, file: AnalysisFile | None, remarks: list[Notice]
) -> Finished:
    """Write the tables of an analysis."""
    count = differential_of(analysis)
    *tables, counts = files = plan.results(path)
    for each in tables:
        export_cells(analysis, each, palette=plan.palette)
    write_csv(count.table(), counts)
    notices = (*remarks, *analysis.notices)
    report: dict[str, object] = {
        "slide": str(path),
        "analysis": None if file is None else str(file.path),
        "files": [str(each) for each in files],
    } | _report(analysis, count, notices)
    own = () if file is None else (file.path,)
    return Finished(analysis, count, notices, (*files, *own), was_done=False, report=report)


def _report(analysis: Analysis, count: Differential, notices: tuple[Notice, ...]) -> dict[str, object]:
    """What the JSON document says of an analysis, wherever it is kept."""
    facts = analysis.facts
    prior = facts.calibration.class_prior if facts.options.assessment.match_prior else None
    mpp = facts.slide.mpp
    return {
        "cells": count.n_cells,
        "counted": count.n_counted,
        "needs_review": int(analysis.counting().assessed().needs_review.sum()),
        "mpp": None if mpp is None else sum(mpp) / 2,
        "detector": facts.detector or "given",
        "detection_threshold": facts.detection_threshold(),
        "crowding": round(facts.calibration.crowding, 3),
        "regions": [region.name for region in analysis.regions],
        "failed_units": [key for key, failure in analysis.units.items() if failure],
        "stain_matched": facts.calibration.stain is not None,
        "class_prior": prior and dict(zip(facts.bundle.taxonomy.codes, prior, strict=True)),
        "warnings": [notice.text for notice in notices],
    }
