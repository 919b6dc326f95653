"""One analysis open in a viewer: its cells as they stand, and all that a person can do to them. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_deepheme.analysis.corrections import Correction, CorrectionKind, settled
from napari_deepheme.analysis.result import Analysis
from napari_deepheme.errors import OptionError
from napari_deepheme.export.counts import counted_by, differential
from napari_deepheme.export.table import MODEL, PERSON
from napari_deepheme.slide.location import SlidePath, slide_path
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.stats.differential import Differential
from napari_deepheme.store.analysis_file import AnalysisFile
from napari_deepheme.store.open_file import person
from napari_deepheme.taxonomy import Taxonomy, extended
from napari_deepheme.taxonomy.own_colours import in_own_colours
from napari_deepheme.ui.layers import Origin
from napari_deepheme.ui.ledger import Ledger, Position, Saying
from napari_deepheme.ui.session_models import SessionModels
from napari_deepheme.ui.sources import AnalysisSource, Ids, Source, TableSource
from napari_deepheme.ui.table_rows import appended, renewed, rows_of


class Session(SessionModels):
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
        """A snapshot with all corrections and the thresholds in force; None for a table that was read."""
        if not isinstance(self._source, AnalysisSource):
            return None
        return self._source.snapshot(self.corrections, self.options)

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """What people said, oldest first."""
        return self._ledger.corrections

    @property
    def origin(self) -> Origin:
        """Slide, model, µm/px, what was matched, and all the classes in use."""
        return self._source.origin(self.options)

    @property
    def slide(self) -> SlidePath:
        """Path of the slide, or its URL."""
        return slide_path(self.origin.slide)

    @property
    def taxonomy(self) -> Taxonomy:
        """The model's classes, then those that only people used."""
        more = (each.label for each in self.corrections if each.label)
        return in_own_colours(extended(self._source.taxonomy, more))

    @property
    def differential(self) -> Differential:
        """Counts and shares by the labels that hold; a cell without one is not counted."""
        counting = counted_by(self.options)
        return differential(self.table, self.taxonomy, counting, by_field=self._source.by_field)

    def to_review(self) -> NDArray[np.bool_]:
        """Which rows a person should look at and nobody settled."""
        waiting = self.table["needs_review"] & (self.table["label_source"] == MODEL)
        return waiting.to_numpy(bool)

    def progress(self) -> dict[str, tuple[int, int]]:
        """Of each class in use: cells that a person settled, and those that still wait for one."""
        table, waiting = self.table, self.to_review()
        done = (table["label_source"] == PERSON).to_numpy(bool)
        codes, names = pd.factorize(table["label"])
        counts = (np.bincount(codes, each, minlength=len(names)) for each in (done, waiting))
        return {str(n): (int(d), int(w)) for n, d, w in zip(names, *counts, strict=True)}

    def ids_of(self, codes: Iterable[str]) -> Ids:
        """Ids of the cells with these labels."""
        return self.table["cell_id"].to_numpy(np.int64)[self.table["label"].isin(list(codes)).to_numpy()]

    def rows_of(self, ids: Iterable[int]) -> NDArray[np.intp]:
        """Rows of the table with these cells, in the table's order."""
        return rows_of(self.table, np.fromiter(ids, np.int64))

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

    def extend(self, parts: Sequence[Analysis]) -> Ids:
        """Take in the cells of units that a run just finished; gives the ids of those that count."""
        if not isinstance(self._source, AnalysisSource):
            raise TypeError(f"{self.name} is a table: no run adds to it")
        for part in parts:
            self._source.extend(part)
        rows = self._source.rows(self.corrections, self.options, np.concatenate([each.ids for each in parts]))
        self.table = appended(self.table, rows)
        return rows["cell_id"].to_numpy(np.int64)

    def assess_by(self, options: AssessmentOptions) -> None:
        """Take other thresholds: all calls, counts and reasons for review follow."""
        if self.file is not None and options != self.options:
            self.file.assess_by(options)
        self.options = options
        self.table = self._source.rows(self.corrections, options)

    @property
    def audit(self) -> tuple[int, ...]:
        """Ids of the cells drawn for an audit."""
        analysis = self.analysis
        return () if analysis is None or analysis.audit is None else analysis.audit.cells

    @property
    def audit_waiting(self) -> tuple[int, ...]:
        """Those that nobody settled yet."""
        drawn, known = self.audit, settled(self.corrections)
        return tuple(cell for cell in drawn if cell not in known)

    def draw_audit(self, cells: int) -> None:
        """Draw cells at random for a person to name, and keep which.

        Raises
        ------
        OptionError
            All cells are settled, or it is a table without raw outputs.
        """
        from napari_deepheme.analysis.audit import draw_audit  # noqa: PLC0415  scipy, once somebody asks for it

        if not isinstance(self._source, AnalysisSource) or self.analysis is None:
            raise OptionError(f"{self.name} is a table without raw outputs: it cannot be audited.")
        draw = draw_audit(self.analysis, cells, who=person())
        if self.file is not None:
            self.file.audit(draw)
        self._source.analysis = replace(self._source.analysis, audit=draw)

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

    def renew(self, analysis: Analysis) -> None:
        """Take the analysis as a run left it, with all that was corrected meanwhile."""
        if isinstance(self._source, AnalysisSource):
            if self.file is not None and self.file.in_use is not None:
                analysis = self.file.analysis()  # of the run no cell is new: the learned model stays in use
            whole = analysis if self.file is not None else self._source.analysis
            # the slide may lie elsewhere than the file says
            facts = replace(analysis.facts, slide=self._source.analysis.facts.slide)
            units, done = analysis.units, analysis.finished
            self._source.analysis = replace(whole, facts=facts, units=units, finished=done)
            for each in self.corrections:  # also those that a person added while the run came to its end
                self._know(each)
            self.table = self._source.rows(self.corrections, self.options)

    def _again(self, said: list[Correction]) -> list[Correction]:
        for each in said:
            self._know(each)  # a file does not give what was taken back
        self._renew(np.array([each.cell for each in said], np.int64))
        return said

    def _know(self, said: Correction) -> None:
        if said.kind is CorrectionKind.ADD and said.yx is not None:
            self._source.add(said.cell, said.yx)

    def _present(self, ids: Iterable[int]) -> list[int]:
        cells: list[int] = self._at(ids, "cell_id").tolist()
        return cells

    def _at(self, ids: Iterable[int], column: str) -> pd.Series:
        return self.table[column].iloc[self.rows_of(ids)]

    def _renew(self, ids: Ids) -> None:
        """Bring the rows of these cells up to date; they may come or go."""
        if len(ids):
            fresh = self._source.rows(self.corrections, self.options, np.unique(ids))
            self.table = renewed(self.table, fresh, ids)
