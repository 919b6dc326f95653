"""An analysis on disk: written unit by unit, read back as a whole, corrected by appending."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from napari_deepheme.analysis.audit_draw import AuditDraw
from napari_deepheme.analysis.learned import by_learned
from napari_deepheme.analysis.result import Analysis, Facts, Notice, Positions, UnitResult
from napari_deepheme.errors import AnalysisFileError
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store.codec import (
    Values,
    audit_from,
    audit_json,
    decoded,
    encoded,
    encoded_options,
    notices_json,
)
from napari_deepheme.store.kept_corrections import KeptCorrections
from napari_deepheme.store.kept_models import KeptModels
from napari_deepheme.store.rows import (
    cells_from,
    corrections_from,
    fields_from,
    insert_cells,
    insert_fields,
    sign_offs_from,
)

_UNITS = "SELECT key, failure FROM units ORDER BY number"


class AnalysisFile(KeptCorrections, KeptModels):
    """An open analysis file; a :class:`~napari_deepheme.analysis.sink.Sink` for a run.

    Safe to use from several threads. One process at a time may write; others read.

    Attributes
    ----------
    path : Path
    read_only : bool
        Whether nothing can be written: another process has the file, or its folder or itself is read-only.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: FileLock | None) -> None:
        super().__init__(path, connection, lock)
        self._last = time.monotonic()

    @property
    def signature(self) -> Mapping[str, str]:
        """What a run must share with it to go on (see :func:`~napari_deepheme.store.signature_of`)."""
        return {key.removeprefix("is "): str(value) for key, value in self._meta("is ").items()}

    @property
    def finished(self) -> bool:
        """Whether its last run came to its end."""
        return self._meta("finished").get("finished") == "yes"

    def facts(self) -> Facts | None:
        """Those of the analysis; None before a run began it."""
        with self._reading():
            values: Values = dict(self._connection.execute("SELECT key, value FROM meta"))
            if "slide" not in values:
                return None
            return decoded(values, *fields_from(self._connection))

    def begin(self, facts: Facts) -> None:
        """Keep the facts; of an analysis that is gone on with only the options."""
        known = "slide" in self._meta("slide")
        with self._writing() as connection:
            self._set(encoded_options(facts.options) if known else encoded(facts))
            self._set({"finished": "no"})
            if not known:
                insert_fields(connection, facts)

    def done(self) -> Mapping[str, Positions]:
        """The units that are there, and where their cells lie."""
        with self._reading():
            units = dict(self._connection.execute("SELECT number, key FROM units"))
            rows = self._connection.execute("SELECT unit, y, x FROM cells WHERE id > 0").fetchall()
            table = np.array(rows, np.float64).reshape(-1, 3)
        return {key: table[table[:, 0] == number, 1:] for number, key in units.items()}

    def results(self) -> list[UnitResult]:
        """The units that are there with their cells, in the order of their commits.

        Raises
        ------
        AnalysisFileError
            The file is damaged, or no run began it.
        """
        known = self.so_far()
        with self._reading():
            query = "SELECT unit, count(*) FROM cells WHERE id > 0 GROUP BY unit"
            counts = dict(self._connection.execute(query).fetchall())
            units = self._connection.execute(
                "SELECT number, key, failure FROM units ORDER BY number"
            ).fetchall()
        results, start = [], 0
        for number, key, failure in units:
            place = slice(start, start + counts.get(number, 0))
            results.append(UnitResult(key, known.cells.take(place), known.raw.take(place), failure))
            start = place.stop
        return results

    def commit(self, unit: UnitResult) -> NDArray[np.int64]:
        """Keep a unit and its cells in one transaction.

        A learned model has not seen them: the run's own model is in use again.
        """
        now = time.monotonic()
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO units (key, failure, seconds) VALUES (?, ?, ?)",
                (unit.key, unit.failure, now - self._last),
            )
            (last,) = connection.execute("SELECT max(0, coalesce(max(id), 0)) FROM cells").fetchone()
            ids = np.arange(last + 1, last + 1 + len(unit.cells), dtype=np.int64)
            insert_cells(connection, ids, cursor.lastrowid, unit.cells, unit.raw)
            if len(ids):
                self._choose(None)
        self._last = now
        return ids

    def finish(self, notices: Sequence[Notice]) -> None:
        """Say that the run came to its end."""
        with self._writing():
            self._set({"notices": notices_json(tuple(notices)), "finished": "yes"})

    def so_far(self) -> Analysis:
        """Everything there is, by the run's own model.

        Raises
        ------
        AnalysisFileError
            The file is damaged, or no run began it.
        """
        facts = self.facts()
        if facts is None:
            raise AnalysisFileError(f"{self.path} is an analysis that was never begun; run it again.")
        shape = len(facts.bundle.members), len(facts.bundle.taxonomy.classes)
        with self._reading():
            ids, cells, raw = cells_from(self._connection, shape, len(facts.regions))
            units = {str(key): str(failure) for key, failure in self._connection.execute(_UNITS)}
            corrections = corrections_from(self._connection)
            signed = sign_offs_from(self._connection)
            audit = audit_from(self._meta("audit").get("audit"))
        return Analysis(
            facts, ids, cells, raw, units, corrections, self.finished, audit=audit, sign_offs=signed
        )

    def analysis(self) -> Analysis:
        """Everything there is, by the model in use: the run's own, or one that learned from corrections.

        Raises
        ------
        AnalysisFileError
            The file is damaged, or no run began it.
        """
        learned = self.learned()
        return self.so_far() if learned is None else by_learned(self.so_far(), learned)

    def assess_by(self, options: AssessmentOptions) -> None:
        """Keep the choices that can be changed after a run, so that the file opens with the same numbers."""
        facts = self.facts()
        if facts is not None:
            with self._writing():
                self._set(encoded_options(replace(facts.options, assessment=options)))

    def audit(self, draw: AuditDraw) -> None:
        """Keep which cells were drawn for an audit, in the place of an earlier draw."""
        with self._writing():
            self._set({"audit": audit_json(draw)})
