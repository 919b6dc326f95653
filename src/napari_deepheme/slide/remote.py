"""The bytes of a slide on another machine: ranges, held for a while, asked for again when they fail."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakValueDictionary

from napari_deepheme.errors import SlideError, UnreachableError
from napari_deepheme.slide.forks import renew_in_child
from napari_deepheme.slide.location import RemotePath, SlidePath
from napari_deepheme.slide.ranges import RangeStore, RefusedError

T = TypeVar("T")

PAUSES = (0.5, 2.0, 5.0)
"""Seconds before the second, third and fourth try."""
PATIENCE = 20.0
"""Seconds that a request may take, besides what its bytes take at :data:`SLOWEST`."""
SLOWEST = 64 * 2**10
"""Bytes a second below which a server counts as stalled."""
BLOCK = 16 * 2**10
"""Bytes: smaller reads, of directories and tags, take the whole block; tiles are read exactly."""
SMALL = 2 * 2**10
HELD_BYTES = 48 * 2**20

_log = logging.getLogger(__name__)


class RemoteFile:
    """The remote counterpart of :class:`~napari_deepheme.slide.file.SlideFile`: reads name their place.

    What was read is held, the least recently used let go beyond some MB; those who have one URL open share
    it. A request that fails is made again after a pause.

    Parameters
    ----------
    path : RemotePath

    Raises
    ------
    SlideError
        There is no such file, or its server gives no ranges.
    UnreachableError
        The server does not answer.
    """

    def __init__(self, path: RemotePath) -> None:
        self.path: SlidePath = path
        self._store = RangeStore(path)
        self._closed = False
        held = _HELD.get(path.url)
        if held is None:
            held = _Held(repeated(path, "its size", lambda: self._store.size(PATIENCE)))
            _HELD[path.url] = held
        self._held, self.size = held, held.size
        renew_in_child(self)

    def renew(self) -> None:
        """Start afresh in a child process: the thread that talked to the server is the parent's."""
        self._store.renew()

    def read(self, offset: int, count: int) -> bytes:
        """Bytes at a place of the file.

        Raises
        ------
        SlideError
            The file was closed.
        UnreachableError
            The server failed to give them, several times.
        OSError
            The file ends before.
        """
        if self._closed:
            raise SlideError(f"{self.path}: the slide was closed; open it again to read from it.")
        if offset < 0 or offset + count > self.size:
            raise OSError(f"the file ends at byte {self.size}, expected {count} from {offset} on")
        held = self._held.get(offset, offset + count)
        if held is not None:
            return held
        if count > SMALL:
            return self._range(offset, offset + count)
        parts = []
        for start in range(offset // BLOCK * BLOCK, offset + count, BLOCK):
            block = self._range(start, min(start + BLOCK, self.size))
            parts.append(block[max(0, offset - start) : offset + count - start])
        return b"".join(parts)

    def close(self) -> None:
        """Let everything go; may be called twice."""
        self._closed = True
        self._held = _Held(self.size)

    def _range(self, start: int, end: int) -> bytes:
        """A range, from what is held or from the server."""
        data = self._held.get(start, end)
        if data is None:
            data = repeated(self.path, f"bytes {start} to {end}", lambda: self._fetch(start, end))
            self._held.keep(start, data)
        return data

    def _fetch(self, start: int, end: int) -> bytes:
        data = self._store.fetch(start, end, PATIENCE + (end - start) / SLOWEST)
        if len(data) != end - start:
            raise OSError(f"{len(data)} bytes came of {end - start}")
        return data


def repeated(path: SlidePath, what: str, ask: Callable[[], T]) -> T:
    """Ask a server until there is an answer, or no try is left.

    Raises
    ------
    SlideError
        It refuses.
    UnreachableError
        It failed each time.
    """
    for pause in (*PAUSES, None):
        try:
            return ask()
        except RefusedError as err:
            raise SlideError(f"{path}: {err}.") from err
        except OSError as err:
            _log.info("%s: a request for %s failed: %r", path, what, err)
            if pause is None:
                raise UnreachableError(
                    f"{path}: its server failed {len(PAUSES) + 1} times to give {what} "
                    f"({err}); see that it can be reached, then try again."
                ) from err
        time.sleep(pause)
    raise AssertionError  # the last try has returned or raised


class _Held:
    """Ranges of one file, the least recently used let go."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._ranges: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        renew_in_child(self)

    def renew(self) -> None:
        """Start afresh in a child process."""
        self._lock = threading.Lock()

    def get(self, start: int, end: int) -> bytes | None:
        """The bytes from ``start`` up to ``end``, if one range holds them all."""
        with self._lock:
            known = (start, end) in self._ranges
            for key in [(start, end)] if known else self._ranges:
                if key[0] <= start and end <= key[1]:
                    self._ranges.move_to_end(key)
                    return self._ranges[key][start - key[0] : end - key[0]]
        return None

    def keep(self, start: int, data: bytes) -> None:
        """Hold the bytes that begin at ``start``."""
        with self._lock:
            self._bytes += len(data) - len(self._ranges.get((start, start + len(data)), b""))
            self._ranges[start, start + len(data)] = data
            while self._bytes > HELD_BYTES:
                self._bytes -= len(self._ranges.popitem(last=False)[1])


_HELD: WeakValueDictionary[str, _Held] = WeakValueDictionary()
"""By URL, of the files that are open."""
