"""Analysis files opened and made."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from napari_deepheme.errors import AnalysisFileError, BusyError
from napari_deepheme.files import is_file
from napari_deepheme.store.analysis_file import AnalysisFile
from napari_deepheme.store.connection import (
    BUSY_SECONDS,
    connected,
    explained,
    in_this_format,
    locked,
    locked_if_writable,
)
from napari_deepheme.store.schema import create


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
    if not is_file(path):
        raise AnalysisFileError(f"{path} is not there; expected an analysis file (.deepheme.db).")
    lock = locked_if_writable(path) if write else None
    try:
        with explained(path, "read"):
            connection = connected(path, writable=lock is not None)
            connection = in_this_format(connection, path, writable=lock is not None)
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
        It cannot be written there, or another process does so.
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
