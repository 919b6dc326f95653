"""What the members say of the cells of each unit, in full batches, ahead of need."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.locate import Located
from napari_deepheme.analysis.result import Facts, UnitResult
from napari_deepheme.cells import Cells
from napari_deepheme.classify.bundle import BundleSpec
from napari_deepheme.errors import DamagedTileError
from napari_deepheme.models.device import cores
from napari_deepheme.slide.planes import Pixels
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import crops, prefetch

_MOST_UNITS = 16  # that wait for each other where cells are rare


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """A unit and the crops of its cells.

    Attributes
    ----------
    unit : Located
    pixels : ndarray of uint8 or None
        None for a unit that is done: its crops are only read if its group is not.
    failure : str
        Why the unit could not be read; empty if it was.
    """

    unit: Located
    pixels: Pixels | None
    failure: str = ""

    @property
    def n_cells(self) -> int:
        """What it has to classify."""
        return 0 if self.failure else len(self.unit.cells)


def classified(
    engine: Engine, slide: Slide, facts: Facts, units: Generator[Located, None, None]
) -> Generator[list[UnitResult], None, None]:
    """Classify the cells of units, those of several together, and give the units in their order.

    Which units go together depends on all units and their cells alone, not on which are done: in other
    batches networks round differently, and a run that goes on is to give what an undisturbed one gives.

    Yields
    ------
    list of UnitResult
        Those of a group that are not done.
    """
    cut, threads = partial(_cut, slide, facts.bundle), max(2, cores() // 4)
    with closing(units), closing(prefetch(units, cut, threads=threads, ahead=threads)) as parts:
        for group in _groups(parts, engine.ensemble.full_batch):
            if not all(each.unit.done for each in group):
                yield _results(engine, slide, facts, group)


def _cut(slide: Slide, spec: BundleSpec, unit: Located, *, anyway: bool = False) -> _Cut:
    """Read the crops of a unit, of one that is done only if they are needed anyway."""
    if unit.done and not anyway:
        return _Cut(unit, None)
    none = np.zeros((0, spec.input_px, spec.input_px, 3), np.uint8)
    try:
        return _Cut(unit, crops(slide, unit.cells.yx, spec.input_px, spec.mpp), unit.failure)
    except DamagedTileError as err:
        return _Cut(unit, none, str(err))


def _groups(cut: Iterable[_Cut], full: int) -> Generator[list[_Cut], None, None]:
    """Units with a full batch of cells together; the first that has any goes alone, for someone waits."""
    group: list[_Cut] = []
    enough = 1
    for each in cut:
        group.append(each)
        if sum(part.n_cells for part in group) >= enough:
            enough = full
        elif len(group) < _MOST_UNITS:
            continue
        yield group
        group = []
    if group:
        yield group


def _results(engine: Engine, slide: Slide, facts: Facts, group: Sequence[_Cut]) -> list[UnitResult]:
    spec = facts.bundle
    parts = [each if each.pixels is not None else _cut(slide, spec, each.unit, anyway=True) for each in group]
    pixels = [part.pixels for part in parts if part.pixels is not None]
    settling = spec.settling() if facts.options.cascade else None
    raw = engine.ensemble.run(np.concatenate(pixels), facts.calibration.stain, settling)
    results, start = [], 0
    for part in parts:
        cells = Cells.empty() if part.failure else part.unit.cells
        own = raw.take(slice(start, start + len(cells)))
        start += len(cells)
        if not part.unit.done:
            results.append(UnitResult(part.unit.key, cells, own, part.failure))
    return results
