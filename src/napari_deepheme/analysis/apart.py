"""Tiles that are searched and classified apart from the others of their slide, and put together again."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace

from napari_deepheme.analysis.classify import classified
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.locate import Done, SearchSource, Unit
from napari_deepheme.analysis.result import Facts, UnitResult
from napari_deepheme.detect.base import TileMerge
from napari_deepheme.slide.reader import Slide


def classified_apart(
    engine: Engine, slide: Slide, facts: Facts, units: Sequence[Unit], done: Done
) -> Generator[list[UnitResult], None, None]:
    """Some units of a slide, each with all cells of its tile: also those that an earlier tile may have."""
    detector, calibration = engine.detector(facts.options), facts.calibration.detector
    source = SearchSource(slide, detector, calibration, facts.regions, units, once=False)
    return classified(engine, slide, facts, source.located(done))


def merged(
    slide: Slide, units: Sequence[Unit], parts: Iterable[UnitResult], done: Done
) -> Generator[list[UnitResult], None, None]:
    """Units that were classified apart as one run has them: of a cell that tiles share, the first keeps it.

    Parameters
    ----------
    slide : Slide
    units : sequence of Unit
        All of the slide.
    parts : iterable of UnitResult
        In the order of the units; of units that are done it may lack some.
    done : mapping
        Units that are merged already, and the positions of their cells.
    """
    merge = TileMerge(slide.scale())
    cores = {unit.key: unit.tile.core for unit in units}
    for key, yx in done.items():
        merge.remember(cores[key], yx)
    for part in parts:
        if part.key not in done:
            new = merge.new(cores[part.key], part.cells.yx)
            yield [replace(part, cells=part.cells.take(new), raw=part.raw.take(new))]
