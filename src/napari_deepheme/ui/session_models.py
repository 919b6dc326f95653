"""Of a session: the model that calls its cells, what it says of added ones, and the sign-off. No Qt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_deepheme.analysis.corrections import Correction
from napari_deepheme.analysis.learned import Learned
from napari_deepheme.analysis.result import Analysis, LearnedModel
from napari_deepheme.analysis.sign_off import ReviewStatus, SignOff, review_status
from napari_deepheme.cells import RawOutputs
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store.analysis_file import AnalysisFile
from napari_deepheme.store.open_file import now
from napari_deepheme.ui.ledger import Ledger
from napari_deepheme.ui.sources import AnalysisSource, Ids, Source
from napari_deepheme.ui.table_rows import without


class SessionModels:
    """The part of :class:`~napari_deepheme.ui.session.Session` that is about models and the review's end."""

    name: str
    options: AssessmentOptions
    table: pd.DataFrame
    _source: Source
    _ledger: Ledger

    @property
    def file(self) -> AnalysisFile | None:
        """Where corrections are kept; None in memory."""
        raise NotImplementedError

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """What people said, oldest first."""
        raise NotImplementedError

    def to_review(self) -> NDArray[np.bool_]:
        """Which rows a person should look at and nobody settled."""
        raise NotImplementedError

    def rows_of(self, ids: Iterable[int]) -> NDArray[np.intp]:
        """Rows of the table with these cells."""
        raise NotImplementedError

    def renew(self, analysis: Analysis) -> None:
        """Take the analysis as its file has it."""
        raise NotImplementedError

    def _renew(self, ids: Ids) -> None:
        raise NotImplementedError

    @property
    def learned(self) -> LearnedModel | None:
        """Says that the model in use learned from the corrections; None where the run's own is in use."""
        return self._source.analysis.learned if isinstance(self._source, AnalysisSource) else None

    def use(self, learned: Learned | int | None) -> None:
        """Call the cells by a learned model, a new one or one of the file by its number, or the run's own.

        Raises
        ------
        AnalysisFileError
            The file cannot be written.
        """
        file = self._kept()
        if isinstance(learned, Learned):
            file.learn(learned, self._ledger.who)
        else:
            file.use(learned)
        self.renew(file.analysis())

    def classified(self, cell: int, raw: RawOutputs) -> None:
        """Take what the model in use says of a cell that a person added."""
        if isinstance(self._source, AnalysisSource) and cell in self._source.unasked():
            if self.file is not None:
                self.file.classified(cell, raw)
            self._source.know(cell, raw)
            self.table = without(self.table, self.rows_of([cell]))  # all its columns are new
            self._renew(np.array([cell]))

    def unasked(self) -> Ids:
        """Ids of the added cells that the model in use was not asked about."""
        if not isinstance(self._source, AnalysisSource):
            return np.zeros(0, np.int64)
        unknown = self._source.unasked()
        there: Ids = unknown[np.isin(unknown, self.table["cell_id"].to_numpy())]
        return there

    def sign(self) -> ReviewStatus:
        """Put one's name to the review as it stands.

        Raises
        ------
        AnalysisFileError
            The file cannot be written.
        """
        file, source = self._kept(), self._source
        if not isinstance(source, AnalysisSource):
            raise TypeError(f"{self.name} is a table: nobody signs it")
        needed = int(self.table["needs_review"].sum())
        settled = needed - int(self.to_review().sum())
        last = self.corrections[-1].id if self.corrections else 0
        model = source.analysis.model
        file.sign(SignOff(self._ledger.who, now(), settled, needed, last, model, self.options))
        source.analysis = replace(source.analysis, sign_offs=file.sign_offs())
        return self.review_status

    @property
    def review_status(self) -> ReviewStatus:
        """What the last sign-off is worth as the cells stand now."""
        if not isinstance(self._source, AnalysisSource):
            return ReviewStatus(holds=False, line="")
        analysis = self._source.analysis
        return review_status(analysis.sign_offs, self.corrections, self.options, analysis.model)

    @property
    def remarks(self) -> list[str]:
        """What a person should know beside the numbers: a model that learned, a review that was signed."""
        learned = self.learned
        lines = [f"learned from {learned.cells} labels; before, {learned.parent}"] if learned else []
        status = self.review_status.line
        return [*lines, status] if status else lines

    def _kept(self) -> AnalysisFile:
        if self.file is None:
            raise ValueError(f"{self.name} has no file that can be written")
        return self.file
