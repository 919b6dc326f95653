"""A slide and a model to an analysis: prepare → locate → classify → commit, a unit at a time."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from napari_deepheme.analysis.classify import classified
from napari_deepheme.analysis.conclusions import conclusions
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.locate import source_of
from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.analysis.prepare import prepare
from napari_deepheme.analysis.result import Analysis, CellsReady, Facts, UnitResult
from napari_deepheme.analysis.sink import Memory, Sink
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
    engine: Engine, slide: Slide, options: AnalysisOptions | None = None, sink: Sink | None = None
) -> Job[Analysis]:
    """As :func:`analyse`, with networks that may be loaded already."""
    options, sink = options or AnalysisOptions(), sink or Memory()
    slide.scale()  # asked for before seconds go into loading
    facts = sink.facts()
    if facts is not None:
        # an earlier run may have had another target, and a person may have moved its thresholds
        options = replace(options, assessment=options.assessment.or_kept(facts.options.assessment))
    if facts is not None and sink.finished and facts.options.target_cells == options.target_cells:
        sink.begin(replace(facts, options=options))
        sink.finish(facts.notices)
        return sink.analysis()
    yield Progress("Loading the model")
    engine.load(options)
    facts = replace(facts or (yield from prepare(slide, engine, options)), options=options)
    sink.begin(facts)
    done = sink.done()
    source = source_of(slide, engine.detector(options), facts)
    tally = _Tally(options.target_cells, source.total, len(done), counted_in(sink.analysis()))
    if not tally.is_enough:  # a run that is gone on with may have met its target
        with closing(ahead(classified(engine, slide, facts, source.located(done)))) as groups:
            tally = yield from _committed(groups, sink, facts, tally)
    sink.finish((yield from conclusions(slide, sink.analysis(), tally.counted)))
    return sink.analysis()


def counted_in(analysis: Analysis) -> int:
    """How many cells the differential counts by the model's calls."""
    counting = analysis.counting()
    classes = analysis.facts.bundle.taxonomy.classes
    counted = np.array([cell_class.counted for cell_class in classes])
    return int(counted[counting.called()[0]].sum())


@dataclass(frozen=True, slots=True)
class _Tally:
    """How far a run is."""

    target: int
    units: int
    done: int
    counted: int

    @property
    def is_enough(self) -> bool:
        return 0 < self.target <= self.counted

    def plus(self, counted: int) -> _Tally:
        """With one more unit."""
        return replace(self, done=self.done + 1, counted=self.counted + counted)

    def progress(self, found: Analysis | None = None) -> CellsReady:
        """Where the run stands, with the cells of the unit that was just done."""
        done, total = (
            (min(self.counted, self.target), self.target) if self.target else (self.done, self.units)
        )
        shares = self.done / max(self.units, 1), self.counted / self.target if self.target else 0.0
        message = f"{self.counted} cells counted, part {self.done} of {self.units}"
        return CellsReady("Classifying cells", done, total, message, found, min(max(shares), 1.0))


def _committed(
    groups: Iterable[list[UnitResult] | None], sink: Sink, facts: Facts, tally: _Tally
) -> Job[_Tally]:
    """Commit one unit after the other until the target is met."""
    for group in groups:
        if group is None:
            yield tally.progress()
        for unit in group or ():
            ids = sink.commit(unit)
            units = {unit.key: unit.failure}
            found = Analysis(facts, ids, unit.cells, unit.raw, units, finished=False)
            tally = tally.plus(counted_in(found))
            yield tally.progress(found)
            if tally.is_enough:
                return tally
    return tally
