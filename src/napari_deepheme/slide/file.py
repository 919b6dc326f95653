"""The bytes of a slide file, read by any number of threads and processes."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_deepheme.errors import SlideError, UnreachableError
from napari_deepheme.slide.forks import renew_in_child
from napari_deepheme.slide.location import SlidePath

if TYPE_CHECKING:
    from typing_extensions import Buffer

_HAS_PREAD = hasattr(os, "pread")


class SlideBytes(Protocol):
    """An open slide file, of this machine or another: reads name their place.

    Attributes
    ----------
    path : Path or RemotePath
    size : int
        Bytes.
    """

    path: SlidePath
    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Bytes at a place of the file."""

    def close(self) -> None:
        """Close the file; may be called twice."""


def open_bytes(path: SlidePath) -> SlideBytes:
    """Open a slide file wherever it lies.

    Raises
    ------
    OSError
        A file of this machine cannot be opened.
    SlideError
        One of another machine cannot.
    """
    if isinstance(path, Path):
        return SlideFile(path)
    from napari_deepheme.slide.remote import RemoteFile  # noqa: PLC0415  few slides lie elsewhere

    return RemoteFile(path)


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
        self.path: SlidePath = path
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
        UnreachableError
            The disk fails, or is no longer there.
        OSError
            The file ends before.
        """
        with self._lock:  # a close must wait: the number of a closed file may be another file's by then
            if self._closed:
                raise SlideError(f"{self.path}: the slide was closed; open it again to read from it.")
            try:
                data = self._pread(offset, count)
            except OSError as err:
                # not a fault of a tile: the disk or network share fails for what comes next, too
                raise UnreachableError(
                    f"{self.path}: its disk failed at byte {offset} ({err.strerror or err}); see that it is "
                    "connected and whole, then try again."
                ) from err
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


class BytesStream(io.RawIOBase):
    """A slide file as the stream that tifffile reads directories from; it has its own position."""

    def __init__(self, file: SlideBytes) -> None:
        self._file, self._at = file, 0
        self.name = str(file.path)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place; gives it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        return self._at

    def tell(self) -> int:
        """The place it stands at."""
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer from here on; gives how much there was."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._file.size - self._at))
        if count:
            view[:count] = self._file.read(self._at, count)
        self._at += count
        return count
