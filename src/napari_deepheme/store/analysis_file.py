"""An analysis on disk: written unit by unit, read back as a whole, corrected by appending."""

from __future__ import annotations

import getpass
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from napari_deepheme.analysis.corrections import Correction, CorrectionKind, holding, redoable
from napari_deepheme.analysis.result import Analysis, Facts, Notice, Positions, UnitResult
from napari_deepheme.cells import RawOutputs
from napari_deepheme.errors import AnalysisFileError, BusyError
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store.codec import Values, decoded, encoded, encoded_options, notices_json
from napari_deepheme.store.connection import (
    BUSY_SECONDS,
    check_format,
    connected,
    explained,
    locked,
    locked_if_writable,
)
from napari_deepheme.store.rows import (
    cells_from,
    correction_row,
    corrections_from,
    fields_from,
    insert_cells,
    insert_fields,
    insert_outputs,
)
from napari_deepheme.store.schema import create


class AnalysisFile:
    """An open analysis file; a :class:`~napari_deepheme.analysis.result.Sink` for a run.

    Safe to use from several threads. One process at a time may write; others read.

    Attributes
    ----------
    path : Path
    read_only : bool
        Whether nothing can be written: another process has the file, or its folder or itself is read-only.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: FileLock | None) -> None:
        self.path, self._connection, self._writer = path, connection, lock
        self._guard = threading.RLock()
        self._last = time.monotonic()

    def __enter__(self) -> AnalysisFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""
        return self._writer is None

    @property
    def signature(self) -> Mapping[str, str]:
        """What a run must share with it to go on (see :func:`~napari_deepheme.store.signature_of`)."""
        return {key.removeprefix("is "): str(value) for key, value in self._meta("is ").items()}

    @property
    def finished(self) -> bool:
        """Whether its last run came to its end."""
        return self._meta("finished").get("finished") == "yes"

    def close(self) -> None:
        """Close the file; as a single file, if nobody else reads it."""
        with self._guard:
            if self._writer is not None:
                # one file is left, unless others read it now
                with suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.close()
            if self._writer is not None:
                # while it is held, so that nobody's lock but ours is removed; Windows keeps the file
                with suppress(OSError):
                    Path(self._writer.lock_file).unlink(missing_ok=True)
                self._writer.release()
                self._writer = None

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

    def commit(self, unit: UnitResult) -> NDArray[np.int64]:
        """Keep a unit and its cells in one transaction."""
        now = time.monotonic()
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO units (key, failure, seconds) VALUES (?, ?, ?)",
                (unit.key, unit.failure, now - self._last),
            )
            (last,) = connection.execute("SELECT max(0, coalesce(max(id), 0)) FROM cells").fetchone()
            ids = np.arange(last + 1, last + 1 + len(unit.cells), dtype=np.int64)
            insert_cells(connection, ids, cursor.lastrowid, unit.cells, unit.raw)
        self._last = now
        return ids

    def finish(self, notices: Sequence[Notice]) -> None:
        """Say that the run came to its end."""
        with self._writing():
            self._set({"notices": notices_json(tuple(notices)), "finished": "yes"})

    def analysis(self) -> Analysis:
        """Everything there is.

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
            ids, cells, raw = cells_from(self._connection, shape)
            units = dict(self._connection.execute("SELECT key, failure FROM units ORDER BY number"))
            corrections = corrections_from(self._connection)
        return Analysis(facts, ids, cells, raw, units, corrections, self.finished)

    def correct(
        self,
        kind: CorrectionKind,
        cell: int,
        *,
        label: str = "",
        yx: tuple[float, float] | None = None,
        who: str = "",
    ) -> Correction:
        """Append what a person says of a cell.

        Parameters
        ----------
        kind : CorrectionKind
            For an undo see :meth:`undo`.
        cell : int
            Id of the cell; for an addition anything, the new cell gets an id of its own.
        label : str
            Class code.
        yx : tuple of float, optional
            Level-0 pixels, of a move or an addition.
        who : str
            By default the name that the system knows.
        """
        with self._writing() as connection:
            if kind is CorrectionKind.ADD:
                (lowest,) = connection.execute(
                    "SELECT min(0, coalesce(min(cell), 0)) FROM corrections"
                ).fetchone()
                cell = lowest - 1
            return self._append(connection, Correction(0, kind, cell, who, "", yx, label))

    def undo(self, who: str = "") -> Correction | None:
        """Take back the last correction that holds; None if there is none."""
        with self._writing() as connection:
            held = holding(corrections_from(connection))
            if not held:
                return None
            last = held[-1]
            return self._append(connection, _undoing(last, who))

    def redo(self, who: str = "") -> Correction | None:
        """Take back the last undo, if nothing was said since; None if there is none."""
        with self._writing() as connection:
            target = redoable(corrections_from(connection))
            if target is None:
                return None
            return self._append(connection, _undoing(target, who))

    def classified(self, cell: int, raw: RawOutputs) -> None:
        """Keep what the members say of a cell that a person added."""
        with self._writing() as connection:
            insert_outputs(connection, cell, raw)

    def keep(self, said: Sequence[Correction]) -> None:
        """Append corrections as they are, all or none; their ids must follow those that are there."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO corrections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [correction_row(each) for each in said],
            )

    def assess_by(self, options: AssessmentOptions) -> None:
        """Keep the choices that can be changed after a run, so that the file opens with the same numbers."""
        facts = self.facts()
        if facts is not None:
            with self._writing():
                self._set(encoded_options(replace(facts.options, assessment=options)))

    def corrections(self) -> tuple[Correction, ...]:
        """What people said, oldest first."""
        with self._reading():
            return corrections_from(self._connection)

    def _append(self, connection: sqlite3.Connection, said: Correction) -> Correction:
        """Add a correction with the next id and the time."""
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM corrections").fetchone()
        when = datetime.now(UTC).isoformat(timespec="seconds")
        dated = replace(said, id=last + 1, who=said.who or person(), when=when)
        connection.execute(
            "INSERT INTO corrections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", correction_row(dated)
        )
        return dated

    def _meta(self, begin: str) -> dict[str, str | bytes]:
        with self._reading():
            pairs = self._connection.execute("SELECT key, value FROM meta WHERE key GLOB ?", (f"{begin}*",))
            return dict(pairs)

    def _set(self, values: Mapping[str, str | bytes]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._guard, explained(self.path, "read"):
            yield

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise AnalysisFileError(
                f"{self.path} is open for reading only (another program writes it, or it is read-only); "
                "close that program, or save a copy."
            )
        with self._guard, explained(self.path, "written"), self._connection:
            yield self._connection


def open_analysis(path: str | Path, *, write: bool = False) -> AnalysisFile:
    """Open an analysis file.

    Parameters
    ----------
    path : str or Path
    write : bool
        Whether to correct it, if no other process writes it and it is not read-only; see ``read_only``.

    Raises
    ------
    AnalysisFileError
        Missing, damaged, of a newer version, or no analysis file.
    """
    path = Path(path)
    if not path.is_file():
        raise AnalysisFileError(f"{path} is not there; expected an analysis file (.deepheme.db).")
    lock = locked_if_writable(path) if write else None
    try:
        with explained(path, "read"):
            connection = connected(path, writable=lock is not None)
            try:
                check_format(connection, path, writable=lock is not None)
            except BaseException:
                connection.close()
                raise
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return AnalysisFile(path, connection, lock)


def create_analysis(path: Path, signature: Mapping[str, str]) -> AnalysisFile:
    """Make a new analysis file where there is none.

    Raises
    ------
    AnalysisFileError
        It cannot be written there; :class:`BusyError` if another process does so.
    """
    with explained(path, "written"):
        lock = locked(path)
    if lock is None:
        raise BusyError(f"{path} is being written by another program; wait for it, or choose another folder.")
    try:
        with explained(path, "written"):
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
            create(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            rows = {f"is {key}": value for key, value in signature.items()}
            with connection:
                connection.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())
    except BaseException:
        lock.release()
        raise
    return AnalysisFile(path, connection, lock)


def _undoing(target: Correction, who: str) -> Correction:
    return Correction(0, CorrectionKind.UNDO, target.cell, who, "", undoes=target.id)


def person() -> str:
    """Name of the person at the machine, as the system knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
