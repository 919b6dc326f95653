"""Where the units of an analysis go: memory, or by the same interface the analysis file of ``store``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.result import Analysis, Facts, Notice, Positions, UnitResult
from napari_deepheme.cells import Cells, RawOutputs


class Sink(Protocol):
    """Where the units of an analysis go. A unit is there whole or not at all."""

    @property
    def finished(self) -> bool:
        """Whether an earlier run came to its end."""

    def facts(self) -> Facts | None:
        """Those of an earlier run that is gone on with; None if it starts anew."""

    def begin(self, facts: Facts) -> None:
        """Take the facts, before the first unit."""

    def done(self) -> Mapping[str, Positions]:
        """Keys of the units that are there, and where their cells lie."""

    def commit(self, unit: UnitResult) -> NDArray[np.int64]:
        """Keep a unit; gives the ids of its cells."""

    def finish(self, notices: Sequence[Notice]) -> None:
        """The run came to its end; ``notices`` are all that there are now."""

    def so_far(self) -> Analysis:
        """Everything there is, by the run's own model."""


class Memory:
    """A sink that keeps everything in memory."""

    def __init__(self) -> None:
        self._facts: Facts | None = None
        self._units: list[UnitResult] = []
        self._n_cells, self.finished = 0, False

    def facts(self) -> Facts | None:
        """Nothing is gone on with."""
        return self._facts

    def begin(self, facts: Facts) -> None:
        """Take the facts."""
        self._facts, self.finished = facts, False

    def done(self) -> Mapping[str, Positions]:
        """The units so far."""
        return {unit.key: unit.cells.yx for unit in self._units}

    def commit(self, unit: UnitResult) -> NDArray[np.int64]:
        """Keep a unit."""
        self._units.append(unit)
        first = self._n_cells + 1
        self._n_cells += len(unit.cells)
        return np.arange(first, self._n_cells + 1, dtype=np.int64)

    def finish(self, notices: Sequence[Notice]) -> None:
        """Take the notices."""
        if self._facts is not None:
            self._facts = replace(self._facts, notices=tuple(notices))
        self.finished = True

    def so_far(self) -> Analysis:
        """All units in the order they came; :class:`ValueError` before :meth:`begin`."""
        if self._facts is None:
            raise ValueError("Memory: no analysis was begun")
        spec = self._facts.bundle
        none = RawOutputs.empty(len(spec.members), len(spec.taxonomy.classes))
        return Analysis(
            self._facts,
            np.arange(1, self._n_cells + 1, dtype=np.int64),
            Cells.concatenate([unit.cells for unit in self._units]),
            RawOutputs.concatenate([none, *(unit.raw for unit in self._units)]),
            {unit.key: unit.failure for unit in self._units},
            finished=self.finished,
        )
