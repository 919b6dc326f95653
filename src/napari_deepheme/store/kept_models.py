"""Models that learned from the corrections of an analysis, in its file, beside the run's own outputs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.learned import Learned
from napari_deepheme.cells import RawOutputs
from napari_deepheme.classify.bundle import BundleSpec
from napari_deepheme.store.codec import calibration_from, calibration_json
from napari_deepheme.store.open_file import OpenFile, now, person
from napari_deepheme.store.rows import insert_outputs, outputs_of

_IN_USE = "model in use"
_SOURCE = "model source"
_ROW_CELLS = 50_000


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A learned model of an analysis file: its number there, name and version, folder and origin."""

    number: int
    name: str
    folder: Path
    cells: int
    who: str
    when: str


class KeptModels(OpenFile):
    """The learned models of an analysis file; the run's own outputs are never overwritten."""

    @property
    def in_use(self) -> int | None:
        """Number of the learned model in use; None for the run's own."""
        with self._reading():
            number = self._meta(_IN_USE).get(_IN_USE)
            return None if number is None else int(number)

    @property
    def source(self) -> str:
        """Where the bundle of the run's own model was found: a name or a path; empty if not known."""
        return str(self._meta(_SOURCE).get(_SOURCE, ""))

    def found_at(self, source: str) -> None:
        """Keep where the bundle of the run's own model was found."""
        with self._writing():
            self._set({_SOURCE: source})

    def models(self) -> tuple[KeptModel, ...]:
        """All learned models, oldest first."""
        query = "SELECT number, bundle, folder, cells, who, at FROM models ORDER BY number"
        with self._reading():
            rows = self._connection.execute(query).fetchall()
            specs = [BundleSpec.model_validate_json(row[1]) for row in rows]
        return tuple(
            KeptModel(number, f"{spec.name} {spec.version}", Path(folder), cells, who, when)
            for spec, (number, _, folder, cells, who, when) in zip(specs, rows, strict=True)
        )

    def learned(self) -> Learned | None:
        """The learned model in use with its outputs; None where the run's own is."""
        number = self.in_use
        if number is None:
            return None
        query = (
            "SELECT bundle, folder, calibration, cells, who, at, calibration_cells FROM models "
            "WHERE number = ?"
        )
        with self._reading():
            found = self._connection.execute(query, (number,)).fetchone()
            if found is None:
                raise KeyError(f"learned model {number}")
            bundle, folder, calibration, cells, who, when, known = found
            spec = BundleSpec.model_validate_json(bundle)
            ids, raw = _outputs(self._connection, number, spec)
            measured = calibration_from(calibration)
        return Learned(spec, Path(folder), measured, cells, ids, raw, known, who, when)

    def learn(self, learned: Learned, who: str = "") -> Learned:
        """Keep a learned model with its outputs and take it into use; gives it with who and when."""
        dated = replace(learned, who=who or person(), when=now())
        values = (
            dated.bundle.model_dump_json(),
            str(dated.folder),
            calibration_json(dated.calibration),
            dated.cells,
            dated.who,
            dated.when,
            dated.calibration_cells,
        )
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO models (bundle, folder, calibration, cells, who, at, calibration_cells) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            number = int(cursor.lastrowid or 0)
            connection.executemany(
                "INSERT INTO learned_outputs VALUES (?, ?, ?, ?, ?)", _rows(number, learned.ids, learned.raw)
            )
            self._choose(number)
        return dated

    def use(self, number: int | None) -> None:
        """Take a learned model into use, or (None) the run's own."""
        with self._writing():
            self._choose(number)

    def classified(self, cell: int, raw: RawOutputs) -> None:
        """Keep what the model in use says of a cell that a person added."""
        number = self.in_use
        with self._writing() as connection:
            if number is None:
                insert_outputs(connection, cell, raw)
            else:
                connection.executemany(
                    "INSERT OR REPLACE INTO learned_outputs VALUES (?, ?, ?, ?, ?)",
                    _rows(number, np.array([cell]), raw),
                )

    def _choose(self, number: int | None) -> None:
        if number is None:
            self._connection.execute("DELETE FROM meta WHERE key = ?", (_IN_USE,))
        else:
            self._set({_IN_USE: str(number)})


def _rows(
    number: int, ids: NDArray[np.int64], raw: RawOutputs
) -> Iterator[tuple[int, int, int, bytes, bytes]]:
    """Rows of outputs, one for cells whose ids follow each other."""
    breaks = np.flatnonzero(np.diff(ids) != 1) + 1
    for run in np.split(np.arange(len(ids)), breaks):
        for start in range(0, len(run), _ROW_CELLS):
            some = raw.take(run[start : start + _ROW_CELLS])
            members, distance = (np.ascontiguousarray(each) for each in (some.members, some.distance))
            first = int(ids[run[start]])
            yield number, first, len(some), members.tobytes(), distance.tobytes()


def _outputs(
    connection: sqlite3.Connection, number: int, spec: BundleSpec
) -> tuple[NDArray[np.int64], RawOutputs]:
    """Ids and outputs of all cells that a learned model was asked about; ValueError if they do not fit."""
    members, classes = len(spec.members), len(spec.taxonomy.classes)
    ids, parts = [np.zeros(0, np.int64)], [RawOutputs.empty(members, classes)]
    query = "SELECT first, n, members, distance FROM learned_outputs WHERE model = ? ORDER BY first"
    for first, n, probabilities, distance in connection.execute(query, (number,)):
        parts.append(outputs_of(n, probabilities, distance, (members, classes)))
        ids.append(np.arange(first, first + n))
    return np.concatenate(ids), RawOutputs.concatenate(parts)
