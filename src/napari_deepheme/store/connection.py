"""Connections to analysis files: who writes, which format it is, and faults in one sentence."""

from __future__ import annotations

import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from napari_deepheme.errors import AnalysisFileError
from napari_deepheme.store.schema import APPLICATION_ID, FORMAT, check_schema, upgrade

BUSY_SECONDS = 10.0
"""How long to wait for another process that writes."""
_MAX_VALUE_BYTES = 256 * 2**20
"""Of one value: the outputs of 50,000 cells by 24 networks of 100 classes."""

_FAULTS = (
    sqlite3.DatabaseError, KeyError, IndexError, ValueError, TypeError, OverflowError, RecursionError,
    EOFError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a file raises that somebody altered: its columns hold any type, its texts any JSON."""


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn what SQLite, or a value of another form, says into one sentence."""
    try:
        yield
    except sqlite3.OperationalError as err:
        full = "full" in str(err)
        what = "its disk is full; free some space, what was there before is kept" if full else f"{err}"
        raise AnalysisFileError(f"{path} cannot be {doing} ({what}).") from err
    except _FAULTS as err:
        first = (str(err).splitlines() or [type(err).__name__])[0][:160]
        raise AnalysisFileError(
            f"{path} is damaged or no analysis file ({first}); get it again, or run the analysis anew."
        ) from err
    except OSError as err:
        raise AnalysisFileError(f"{path} cannot be {doing} ({err.strerror or err}).") from err


def locked(path: Path) -> FileLock | None:
    """The lock of the one process that writes; None if another has it.

    The system frees it when a process dies, however it dies.

    Raises
    ------
    OSError
        Nothing can be written there.
    """
    lock = FileLock(path.with_name(f"{path.name}-lock"), blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def locked_if_writable(path: Path) -> FileLock | None:
    """The lock; None if another process has it, or nothing can be written there."""
    try:
        return locked(path)
    except OSError:
        return None


def connected(path: Path, *, writable: bool) -> sqlite3.Connection:
    """Connect to a file that is there."""
    uri = path.absolute().as_uri()
    mode = "rw" if writable else "ro"
    connection = sqlite3.connect(
        f"{uri}?mode={mode}", uri=True, timeout=BUSY_SECONDS, check_same_thread=False
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    if writable:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
    return connection


def in_this_format(connection: sqlite3.Connection, path: Path, *, writable: bool) -> sqlite3.Connection:
    """A connection to an analysis in today's format; the one given is closed where it is not the answer.

    An older file is brought up to date if it can be written, else in a copy in memory.

    Raises
    ------
    ValueError
        It is no analysis file.
    AnalysisFileError
        A newer version wrote it.
    """
    try:
        version = _format(connection, path)
        check_schema(connection, version)
        if version == FORMAT:
            return connection
        if not writable:
            connection = _in_memory(connection)
        upgrade(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _format(connection: sqlite3.Connection, path: Path) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID or version < 1:
        raise ValueError("SQLite knows no analysis in it")
    if version > FORMAT:
        raise AnalysisFileError(
            f"{path} was written by a newer version (format {version}, this one reads up to {FORMAT}); "
            "update napari-deepheme."
        )
    return int(version)


def _in_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    with closing(connection):
        connection.backup(copy)
    return copy
