"""An SQLite file held open by this process: one thread at a time, one transaction at a time, one writer."""

from __future__ import annotations

import getpass
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock

from napari_deepheme.errors import AnalysisFileError
from napari_deepheme.store.connection import explained


class OpenFile:
    """The connection, its lock, and the table ``meta``.

    Attributes
    ----------
    path : Path
    read_only : bool
        Whether nothing can be written: another process has the file, or its folder or itself is read-only.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: FileLock | None) -> None:
        self.path, self._connection, self._writer = path, connection, lock
        self._guard = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""
        return self._writer is None

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


def person() -> str:
    """Name of the person at the machine, as the system knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
