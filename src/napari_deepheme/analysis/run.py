"""A slide and a model to an analysis: prepare → locate → classify → commit, a unit at a time."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from napari_deepheme.analysis.conclusions import conclusions
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.locate import Located, source_of
from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.analysis.prepare import prepare
from napari_deepheme.analysis.result import Analysis, Facts, UnitResult
from napari_deepheme.analysis.sink import Memory, Sink
from napari_deepheme.analysis.stopping import Tally, check_stop_rule, counts_in
from napari_deepheme.cells import Cells, RawOutputs
from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.errors import DamagedTileError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import crops


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
    engine: Engine, slide: Slide, options: AnalysisOptions | None = None, sink: Sink | None = None
) -> Job[Analysis]:
    """As :func:`analyse`, with networks that may be loaded already."""
    options, sink = options or AnalysisOptions(), sink or Memory()
    slide.scale()  # asked for before seconds go into loading
    check_stop_rule(options, engine.bundle.spec.taxonomy)
    facts = sink.facts()
    if facts is not None:
        # an earlier run may have had another target, and a person may have moved its thresholds
        options = replace(options, assessment=options.assessment.or_kept(facts.options.assessment))
    if facts is not None and sink.finished and _same_end(facts.options, options):
        sink.begin(replace(facts, options=options))
        sink.finish(facts.notices)
        return sink.so_far()
    yield Progress("Loading the model")
    engine.load(options)
    facts = replace(facts or (yield from prepare(slide, engine, options)), options=options)
    sink.begin(facts)
    source = source_of(slide, engine.detector(options), facts)
    counts = counts_in(sink.so_far())
    tally = Tally(options, engine.bundle.spec.taxonomy, source.total, len(sink.done()), counts)
    with closing(source.located(sink.done())) as units:
        # the target is looked at first: a run that is gone on with may have met it
        while not tally.is_enough and (unit := next(units, None)) is not None:
            raw = yield from _classified(engine, slide, facts, unit, tally)
            found = _kept(sink, facts, unit, raw)
            tally = tally.plus(found)
            yield tally.progress(found)
    sink.finish((yield from conclusions(slide, sink.so_far(), tally)))
    return sink.so_far()


def _same_end(one: AnalysisOptions, other: AnalysisOptions) -> bool:
    return (one.target_cells, one.until) == (other.target_cells, other.until)


def _classified(
    engine: Engine, slide: Slide, facts: Facts, unit: Located, tally: Tally
) -> Job[RawOutputs | DamagedTileError]:
    """What the members say of the cells of a unit, a batch after the other; or why they cannot be read."""
    spec, centres, size = facts.bundle, unit.cells.yx, engine.run.batch_size
    parts = [RawOutputs.empty(len(spec.members), len(spec.taxonomy.classes))]
    for start in range(0, len(centres), size):
        try:
            pixels = crops(slide, centres[start : start + size], spec.input_px, spec.mpp)
        except DamagedTileError as err:
            return err
        parts.append(engine.ensemble.run(pixels, facts.calibration.stain))
        yield tally.progress()
    return RawOutputs.concatenate(parts)


def _kept(sink: Sink, facts: Facts, unit: Located, raw: RawOutputs | DamagedTileError) -> Analysis:
    """Commit a unit, and give it as a part of the analysis."""
    failure = unit.failure or (str(raw) if isinstance(raw, DamagedTileError) else "")
    if failure or isinstance(raw, DamagedTileError):
        none = RawOutputs.empty(len(facts.bundle.members), len(facts.bundle.taxonomy.classes))
        result = UnitResult(unit.key, Cells.empty(), none, failure)
    else:
        result = UnitResult(unit.key, unit.cells, raw)
    ids = sink.commit(result)
    return Analysis(facts, ids, result.cells, result.raw, {result.key: failure}, finished=False)
