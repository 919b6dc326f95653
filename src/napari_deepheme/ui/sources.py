"""Where the rows of a session's table come from: an analysis, or a table that was read. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_deepheme.analysis.corrections import Corrected, Correction, CorrectionKind, settled
from napari_deepheme.analysis.result import Analysis
from napari_deepheme.cells import Cells, RawOutputs
from napari_deepheme.export.table import MODEL, cells_table, corrected_table
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.taxonomy import Taxonomy
from napari_deepheme.ui.layers import Origin, matched

Ids = NDArray[np.int64]


class Source(Protocol):
    """Gives the rows of any cells as they stand after corrections."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The model's classes."""
        ...

    @property
    def by_field(self) -> bool:
        """Whether the cells' regions are fields of the smear."""
        ...

    def origin(self, options: AssessmentOptions) -> Origin:
        """Where the cells come from."""
        ...

    def rows(
        self, corrections: Sequence[Correction], options: AssessmentOptions, ids: Ids | None = None
    ) -> pd.DataFrame:
        """Rows of the cells that count, in the columns of ``cells.csv``; of all, or of those in ``ids``."""
        ...

    def add(self, cell: int, yx: tuple[float, float]) -> None:
        """Know a cell that a person added, of which no model said anything."""
        ...


class AnalysisSource:
    """Rows of an analysis.

    Attributes
    ----------
    analysis : Analysis
        Its cells, with all that were added here, also those taken back.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis

    @property
    def taxonomy(self) -> Taxonomy:
        """The model's classes."""
        return self.analysis.facts.bundle.taxonomy

    @property
    def by_field(self) -> bool:
        """Whether fields to count were chosen."""
        return bool(self.analysis.facts.fields)

    def origin(self, options: AssessmentOptions) -> Origin:
        """Slide, model, µm/px and what was matched."""
        facts = self.analysis.facts
        what = matched(facts.calibration.stain is not None, options.match_prior and self.has_prior)
        return Origin(self.taxonomy, str(facts.slide.path), self.analysis.model, facts.slide.mpp, what)

    @property
    def has_prior(self) -> bool:
        """Whether the slide's class prior is known."""
        return self.analysis.facts.calibration.class_prior is not None

    def rows(
        self, corrections: Sequence[Correction], options: AssessmentOptions, ids: Ids | None = None
    ) -> pd.DataFrame:
        """Rows of all cells that count, or of those among ``ids``."""
        analysis = self.analysis
        if ids is not None:
            analysis = analysis.take(np.flatnonzero(np.isin(analysis.ids, ids)))
            wanted = set(ids.tolist())
            corrections = [each for each in corrections if each.cell in wanted]
        table = cells_table(replace(analysis, corrections=tuple(corrections)), options)
        return _without_undone(table, corrections)

    def snapshot(self, corrections: Sequence[Correction], options: AssessmentOptions) -> Analysis:
        """The analysis with corrections and thresholds, without the cells whose addition was taken back."""
        facts = self.analysis.facts
        facts = replace(facts, options=replace(facts.options, assessment=options))
        analysis = replace(self.analysis, facts=facts, corrections=tuple(corrections))
        gone = np.isin(analysis.ids, list(_taken_back(corrections)))
        return analysis.take(np.flatnonzero(~gone)) if gone.any() else analysis

    def add(self, cell: int, yx: tuple[float, float]) -> None:
        """Append a cell with outputs that are not known."""
        analysis, raw = self.analysis, self.analysis.raw
        if cell in analysis.ids:
            return
        nothing = np.zeros(1, np.float32)
        one = Cells(np.array([yx]), nothing, np.full(1, np.nan, np.float32), np.zeros(1, np.int32))
        members, _, classes = raw.members.shape
        unknown = RawOutputs(
            np.full((members, 1, classes), np.nan, np.float16), np.full(1, np.nan, np.float32)
        )
        self.analysis = replace(
            analysis,
            ids=np.append(analysis.ids, np.int64(cell)),
            cells=Cells.concatenate([analysis.cells, one]),
            raw=RawOutputs.concatenate([raw, unknown]),
        )

    def know(self, cell: int, raw: RawOutputs) -> None:
        """Take what the model says of a cell that a person added."""
        (rows,) = np.nonzero(self.analysis.ids == cell)
        members, distance = self.analysis.raw.members.copy(), self.analysis.raw.distance.copy()
        members[:, rows], distance[rows] = raw.members, raw.distance
        self.analysis = replace(self.analysis, raw=RawOutputs(members, distance))

    def unasked(self) -> Ids:
        """Ids of the added cells that the model was not asked about."""
        added = np.flatnonzero(self.analysis.ids < 0)
        unknown = np.isnan(self.analysis.raw.members[0, added, 0])
        ids: Ids = self.analysis.ids[added[unknown]]
        return ids

    def extend(self, part: Analysis) -> None:
        """Append the cells of a unit that was just done; those that are there already are left out."""
        analysis = self.analysis
        part = part.take(np.flatnonzero(~np.isin(part.ids, analysis.ids)))
        self.analysis = replace(
            analysis,
            ids=np.concatenate([analysis.ids, part.ids]),
            cells=Cells.concatenate([analysis.cells, part.cells]),
            raw=RawOutputs.concatenate([analysis.raw, part.raw]),
            units={**analysis.units, **part.units},
        )


class TableSource:
    """Rows of a ``cells.csv``, which keeps no raw outputs: its thresholds are those it was written with.

    Parameters
    ----------
    table : DataFrame
    origin : Origin
    """

    def __init__(self, table: pd.DataFrame, origin: Origin) -> None:
        self._table, self._origin = table.reset_index(drop=True), origin

    @property
    def taxonomy(self) -> Taxonomy:
        """Classes of the probability columns, and those a person used."""
        return self._origin.taxonomy

    @property
    def by_field(self) -> bool:
        """As ``differential`` counts tables."""
        return True

    def origin(self, options: AssessmentOptions) -> Origin:  # noqa: ARG002 - of a table nothing is computed anew
        """Where the table comes from."""
        return self._origin

    def rows(
        self,
        corrections: Sequence[Correction],
        options: AssessmentOptions,  # noqa: ARG002
        ids: Ids | None = None,
    ) -> pd.DataFrame:
        """Rows of all cells, or of those among ``ids``."""
        table = self._table.copy()  # the rows given are written into: undo needs those that were read
        if ids is not None:
            table = table[table["cell_id"].isin(ids)].reset_index(drop=True)
        said = settled(corrections)
        if said:
            # rows that were an addition when the table was written stay, whatever is said now
            before = {cell: Corrected() for cell in table["cell_id"].tolist() if cell < 0}
            table = corrected_table(table, {**before, **said}, self._origin.mpp)
        return _without_undone(table, corrections)

    def add(self, cell: int, yx: tuple[float, float]) -> None:
        """Append a row with a position and nothing else."""
        if cell in self._table["cell_id"].to_numpy():
            return
        texts = self._table.select_dtypes(include=["object", "string"]).columns
        row: dict[str, object] = {name: "" if name in texts else np.nan for name in self._table.columns}
        row |= {"cell_id": cell, "needs_review": True, "label_source": MODEL}
        y, x = yx
        mpp = self._origin.mpp or (np.nan, np.nan)
        row |= {"y_px": y, "x_px": x, "y_um": y * mpp[0], "x_um": x * mpp[1]}
        one = pd.DataFrame([row]).astype(self._table.dtypes)
        self._table = pd.concat([self._table, one], ignore_index=True)


def _without_undone(table: pd.DataFrame, corrections: Sequence[Correction]) -> pd.DataFrame:
    """Without the cells whose addition was taken back."""
    taken_back = _taken_back(corrections)
    return table[~table["cell_id"].isin(taken_back)].reset_index(drop=True) if taken_back else table


def _taken_back(corrections: Sequence[Correction]) -> set[int]:
    """Cells whose addition does not hold."""
    added = {each.cell for each in corrections if each.kind is CorrectionKind.ADD}
    return added - {cell for cell, said in settled(corrections).items() if said.added} if added else added
