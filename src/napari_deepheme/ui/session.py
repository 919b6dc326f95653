"""One analysis open in a viewer: its cells as they stand, and all that a person can do to them. No Qt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_deepheme.analysis.corrections import Correction, CorrectionKind
from napari_deepheme.analysis.result import Analysis
from napari_deepheme.export.table import MODEL, PERSON
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.stats.differential import CellFacts, Differential
from napari_deepheme.store.analysis_file import AnalysisFile
from napari_deepheme.taxonomy import Taxonomy
from napari_deepheme.ui.layers import Origin
from napari_deepheme.ui.ledger import Ledger, Position, Saying
from napari_deepheme.ui.sources import AnalysisSource, Ids, Source, TableSource

_MOVED = ("label", "label_source", "x_px", "y_px", "x_um", "y_um")
"""The columns that a correction of a cell changes."""


class Session:
    """The cells of an analysis, or of a table that was read, after corrections and thresholds.

    Every action appends to the corrections and brings the rows it concerns up to date; nothing is computed
    anew for the others.

    Attributes
    ----------
    name : str
        What a person calls it.
    file : AnalysisFile or None
        Where it is kept; None in memory.
    options : AssessmentOptions
        The thresholds in force.
    table : DataFrame
        One row for each cell that counts, in the columns of ``cells.csv``; not to be written to.
    """

    def __init__(self, source: Source, name: str, ledger: Ledger, options: AssessmentOptions) -> None:
        self._source, self.name, self._ledger, self.options = source, name, ledger, options
        self.table = source.rows(ledger.corrections, options)

    @classmethod
    def of_analysis(cls, analysis: Analysis, name: str, file: AnalysisFile | None = None) -> Session:
        """Open an analysis; corrections go to its file unless that can only be read."""
        kept = file if file is not None and not file.read_only else None
        ledger = Ledger(analysis.corrections, kept)
        return cls(AnalysisSource(analysis), name, ledger, analysis.facts.options.assessment)

    @classmethod
    def of_table(cls, table: pd.DataFrame, origin: Origin, name: str) -> Session:
        """Open a table of cells."""
        return cls(TableSource(table, origin), name, Ledger(), AssessmentOptions())

    @property
    def file(self) -> AnalysisFile | None:
        """Where corrections are kept; None in memory."""
        return self._ledger.file

    @property
    def analysis(self) -> Analysis | None:
        """A snapshot with all corrections; None for a table that was read."""
        if not isinstance(self._source, AnalysisSource):
            return None
        return replace(self._source.analysis, corrections=self.corrections)

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """What people said, oldest first."""
        return self._ledger.corrections

    @property
    def origin(self) -> Origin:
        """Slide, model, µm/px, what was matched, and all the classes in use."""
        return self._source.origin(self.options)

    @property
    def slide(self) -> Path:
        """Path of the slide."""
        return Path(self.origin.slide)

    @property
    def taxonomy(self) -> Taxonomy:
        """The model's classes, then those that only people used."""
        return self._source.taxonomy.extended(each.label for each in self.corrections if each.label)

    @property
    def differential(self) -> Differential:
        """Counts and shares by the labels that hold; a cell without one is not counted."""
        table = self.table[self.table["label"] != ""]
        facts = CellFacts(by_person=(table["label_source"] == PERSON).to_numpy(bool))
        entropy = table["entropy"].fillna(0.0).to_numpy(np.float64)
        return Differential.of(table["label"].to_numpy(object), entropy, self.taxonomy, facts=facts)

    def to_review(self) -> NDArray[np.bool_]:
        """Which rows a person should look at and nobody settled."""
        waiting = self.table["needs_review"] & (self.table["label_source"] == MODEL)
        return waiting.to_numpy(bool)

    def rows_of(self, ids: Iterable[int]) -> NDArray[np.intp]:
        """Rows of the table with these cells, in the table's order."""
        return np.flatnonzero(np.isin(self.table["cell_id"].to_numpy(), np.fromiter(ids, np.int64)))

    def label_of(self, cell: int) -> str:
        """Class code that holds for a cell; :class:`KeyError` if it does not count."""
        rows = self.rows_of([cell])
        if not len(rows):
            raise KeyError(cell)
        return str(self.table["label"].iloc[rows[0]])

    def relabel(self, ids: Iterable[int], code: str) -> Ids:
        """Give cells a class; gives the ids of those concerned."""
        return self._say([Saying(CorrectionKind.LABEL, int(cell), code) for cell in self._present(ids)])

    def accept(self, ids: Iterable[int]) -> Ids:
        """Settle cells with the class each has."""
        labels = zip(*(self._at(ids, name) for name in ("cell_id", "label")), strict=True)
        return self._say(
            [Saying(CorrectionKind.LABEL, int(cell), str(code)) for cell, code in labels if code]
        )

    def move(self, cell: int, yx: Position) -> Ids:
        """Put a cell elsewhere, level-0 pixels."""
        place = (float(yx[0]), float(yx[1]))
        return self._say([Saying(CorrectionKind.MOVE, int(each), yx=place) for each in self._present([cell])])

    def delete(self, ids: Iterable[int]) -> Ids:
        """Say that these are no cells."""
        return self._say([Saying(CorrectionKind.DELETE, int(cell)) for cell in self._present(ids)])

    def add(self, yx: Position, label: str = "") -> int:
        """Add a cell that was missed; gives its id."""
        cell, place = self._ledger.next_cell(), (float(yx[0]), float(yx[1]))
        self._source.add(cell, place)
        self._say([Saying(CorrectionKind.ADD, cell, label, place)])
        return cell

    def undo(self) -> list[Correction]:
        """Take back what was said last; gives what no longer holds."""
        return self._again(self._ledger.undo())

    def redo(self) -> list[Correction]:
        """Say again what was taken back last; gives what holds again."""
        return self._again(self._ledger.redo())

    def extend(self, part: Analysis) -> Ids:
        """Take in the cells of a unit that a run just finished; gives the ids of those that count."""
        if not isinstance(self._source, AnalysisSource):
            raise TypeError(f"{self.name} is a table: no run adds to it")
        self._source.extend(part)
        rows = self._source.rows(self.corrections, self.options, part.ids)
        self._append(rows)
        return rows["cell_id"].to_numpy(np.int64)

    def assess_by(self, options: AssessmentOptions) -> None:
        """Take other thresholds: all calls, counts and reasons for review follow."""
        if self.file is not None and options != self.options:
            self.file.assess_by(options)
        self.options = options
        self.table = self._source.rows(self.corrections, options)

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self._ledger.file = None

    def _say(self, sayings: list[Saying]) -> Ids:
        self._ledger.say(sayings)
        ids = np.array([each.cell for each in sayings], np.int64)
        self._renew(ids)
        return ids

    def _again(self, said: list[Correction]) -> list[Correction]:
        self._renew(np.array([each.cell for each in said], np.int64))
        return said

    def _present(self, ids: Iterable[int]) -> list[int]:
        cells: list[int] = self._at(ids, "cell_id").tolist()
        return cells

    def _at(self, ids: Iterable[int], column: str) -> pd.Series:  # type: ignore[type-arg]
        return self.table[column].iloc[self.rows_of(ids)]

    def _renew(self, ids: Ids) -> None:
        """Bring the rows of these cells up to date; they may come or go."""
        if not len(ids):
            return
        fresh = self._source.rows(self.corrections, self.options, np.unique(ids))
        rows = self.rows_of(ids)
        here = self.table["cell_id"].to_numpy()[rows]
        now = fresh["cell_id"].to_numpy()
        staying = np.isin(here, now)
        if staying.any():
            order = pd.Index(now).get_indexer(here[staying])
            for name in _MOVED:
                self.table.loc[rows[staying], name] = fresh[name].to_numpy()[order]
        if not staying.all():
            self.table = self.table.drop(index=rows[~staying]).reset_index(drop=True)
        self._append(fresh[~np.isin(now, here)])

    def _append(self, rows: pd.DataFrame) -> None:
        if len(rows):
            parts = [self.table, rows] if len(self.table) else [rows]
            self.table = pd.concat(parts, ignore_index=True)
