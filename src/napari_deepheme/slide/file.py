"""The bytes of a slide file, read by any number of threads and processes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.forks import renew_in_child

_HAS_PREAD = hasattr(os, "pread")


class SlideFile:
    """An open file without a position of its own.

    Parent and forked child share one offset in the kernel: seeking and reading there hands the bytes of one
    to the other. Reads here name their place, so that nobody moves anybody.

    Parameters
    ----------
    path : Path
        A regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = os.fstat(self._fd).st_size
        self._closed = False
        self._lock = threading.Lock()
        renew_in_child(self)

    def renew(self) -> None:
        """Start afresh in a child process."""
        self._lock = threading.Lock()

    def read(self, offset: int, count: int) -> bytes:
        """Bytes at a place of the file.

        Raises
        ------
        SlideError
            The file was closed.
        OSError
            The file ends before, or the medium fails.
        """
        with self._lock:  # a close must wait: the number of a closed file may be another file's by then
            if self._closed:
                raise SlideError(f"{self.path}: the slide was closed; open it again to read from it.")
            data = self._pread(offset, count)
        if len(data) != count:
            raise OSError(f"the file ends at byte {offset + len(data)}, expected {count} from {offset} on")
        return data

    def close(self) -> None:
        """Close the file, once the reads under way are over; may be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._fd)

    def _pread(self, offset: int, count: int) -> bytes:
        if _HAS_PREAD:
            return os.pread(self._fd, count, offset)
        os.lseek(self._fd, offset, os.SEEK_SET)
        return os.read(self._fd, count)
