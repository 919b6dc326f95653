"""What people said of the cells of an analysis, in its file: appended, never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from napari_deepheme.analysis.corrections import Correction, CorrectionKind, holding, redoable
from napari_deepheme.analysis.sign_off import SignOff
from napari_deepheme.store.open_file import OpenFile, now, person
from napari_deepheme.store.rows import correction_row, corrections_from, sign_off_row, sign_offs_from


class KeptCorrections(OpenFile):
    """The corrections and the sign-offs of an analysis file."""

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

    def keep(self, said: Sequence[Correction]) -> None:
        """Append corrections as they are, all or none; their ids must follow those that are there."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO corrections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [correction_row(each) for each in said],
            )

    def corrections(self) -> tuple[Correction, ...]:
        """What people said, oldest first."""
        with self._reading():
            return corrections_from(self._connection)

    def _append(self, connection: sqlite3.Connection, said: Correction) -> Correction:
        """Add a correction with the next id and the time."""
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM corrections").fetchone()
        dated = replace(said, id=last + 1, who=said.who or person(), when=now())
        connection.execute(
            "INSERT INTO corrections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", correction_row(dated)
        )
        return dated

    def sign(self, signed: SignOff) -> None:
        """Append a sign-off."""
        with self._writing() as connection:
            connection.execute("INSERT INTO sign_offs VALUES (?, ?, ?, ?, ?, ?, ?)", sign_off_row(signed))

    def sign_offs(self) -> tuple[SignOff, ...]:
        """All sign-offs, oldest first."""
        with self._reading():
            return sign_offs_from(self._connection)


def _undoing(target: Correction, who: str) -> Correction:
    return Correction(0, CorrectionKind.UNDO, target.cell, who, "", undoes=target.id)
