"""A slide and a model to an analysis: prepare → locate → classify → commit, a unit at a time."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

from napari_deepheme.analysis.apart import merged
from napari_deepheme.analysis.classify import classified
from napari_deepheme.analysis.conclusions import conclusions
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.locate import source_of, tile_units
from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.analysis.prepare import prepare
from napari_deepheme.analysis.result import Analysis, Facts, UnitResult
from napari_deepheme.analysis.sink import Memory, Sink
from napari_deepheme.analysis.stopping import Tally, check_stop_rule, counts_in
from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.jobs import Job, Progress, ahead
from napari_deepheme.slide.reader import Slide


def analyse(
    slide: Slide,
    bundle: Bundle,
    options: AnalysisOptions | None = None,
    *,
    run: RunOptions | None = None,
    sink: Sink | None = None,
) -> Job[Analysis]:
    """Find and classify the nucleated cells of a slide.

    Parameters
    ----------
    slide : Slide
    bundle : Bundle
        The model.
    options : AnalysisOptions, optional
    run : RunOptions, optional
    sink : Sink, optional
        Where the cells go, such as an analysis file; by default into memory.

    Yields
    ------
    Progress
        :class:`CellsReady` after each unit; ``done`` and ``total`` are counted cells when there is a target,
        else units.

    Returns
    -------
    Analysis

    Raises
    ------
    ScaleError
        The slide's µm/px is not known.
    BundleError, OptionError, SlideError
        The bundle, an option or the slide cannot be used.
    """
    return analyse_with(Engine(bundle, run), slide, options, sink)


def analyse_with(
    engine: Engine,
    slide: Slide,
    options: AnalysisOptions | None = None,
    sink: Sink | None = None,
    parts: Iterable[UnitResult] | None = None,
) -> Job[Analysis]:
    """As :func:`analyse`, with networks that may be loaded already.

    ``parts`` are the units of a search, in their order, where they were classified before (see
    :func:`~napari_deepheme.analysis.apart.classified_apart`).
    """
    options, sink = options or AnalysisOptions(), sink or Memory()
    facts = yield from begun(engine, slide, options, sink)
    if sink.finished:
        return sink.so_far()
    options, done, detector = facts.options, sink.done(), engine.detector(facts.options)
    source = source_of(slide, detector, facts)
    counts = counts_in(sink.so_far())
    tally = Tally(options, engine.bundle.spec.taxonomy, source.total, len(done), counts)
    if not tally.is_enough:  # a run that is gone on with may have met its target
        if parts is None:
            units = classified(engine, slide, facts, source.located(done))
        else:
            units = merged(slide, tile_units(slide, facts.regions, detector), parts, done)
        with closing(ahead(units)) as groups:
            tally = yield from _committed(groups, sink, facts, tally)
    sink.finish((yield from conclusions(slide, sink.so_far(), tally)))
    return sink.so_far()


def begun(engine: Engine, slide: Slide, options: AnalysisOptions, sink: Sink) -> Job[Facts]:
    """Prepare an analysis, or take up an earlier one; the sink is finished where nothing is left to do."""
    slide.scale()  # asked for before seconds go into loading
    check_stop_rule(options, engine.bundle.spec.taxonomy)
    facts = sink.facts()
    if facts is not None:
        # an earlier run may have had another target, and a person may have moved its thresholds
        options = replace(options, assessment=options.assessment.or_kept(facts.options.assessment))
    if facts is not None and sink.finished and _same_end(facts.options, options):
        sink.begin(replace(facts, options=options))
        sink.finish(facts.notices)
        return facts
    yield Progress("Loading the model")
    engine.load(options)
    facts = replace(facts or (yield from prepare(slide, engine, options)), options=options)
    sink.begin(facts)
    return facts


def _same_end(one: AnalysisOptions, other: AnalysisOptions) -> bool:
    return (one.target_cells, one.until) == (other.target_cells, other.until)


def _committed(
    groups: Iterable[list[UnitResult] | None], sink: Sink, facts: Facts, tally: Tally
) -> Job[Tally]:
    """Commit one unit after the other until the target is met."""
    for group in groups:
        if group is None:
            yield tally.progress()
        for unit in group or ():
            ids = sink.commit(unit)
            units = {unit.key: unit.failure}
            found = Analysis(facts, ids, unit.cells, unit.raw, units, finished=False)
            tally = tally.plus(found)
            yield tally.progress(found)
            if tally.is_enough:
                return tally
    return tally
