"""OME-Zarr on another machine: a request for each chunk; imported only where one is opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from napari_deepheme.slide.location import RemotePath
from napari_deepheme.slide.ranges import MissingError, RangeStore
from napari_deepheme.slide.remote import PATIENCE, SLOWEST, repeated
from napari_deepheme.slide.zarr_store import most_bytes

_HELD_INDEXES = 256


class Elsewhere(Store):
    """A zarr behind a URL; it is read, not written or listed, as a web server cannot list.

    The query of the URL goes with each request, so that a link signed for a folder works.

    Parameters
    ----------
    path : RemotePath
    """

    supports_writes = supports_deletes = supports_listing = False

    def __init__(self, path: RemotePath) -> None:
        super().__init__(read_only=True)
        self._path = path
        # the ends of shards say where their chunks lie, and are asked for before each chunk
        self._index = lru_cache(_HELD_INDEXES)(self._fetched)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Elsewhere) and other._path == self._path

    __hash__ = Store.__hash__

    def read(self, key: str, start: int | None = None, end: int | None = None) -> bytes | None:
        """Bytes of a file, None if it is not there; ``start`` below 0 counts from its end.

        Raises
        ------
        SlideError
            The server refuses; :class:`UnreachableError` if it failed several times.
        OSError
            The file is too large.
        """
        return (self._index if start is not None and start < 0 else self._fetched)(key, start, end)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a file, None if it is not there; raises as :meth:`read`."""
        data = await asyncio.to_thread(self.read, key, *_limits(byte_range))
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of several files."""
        asked = [self.get(key, prototype, byte_range) for key, byte_range in key_ranges]
        return list(await asyncio.gather(*asked))

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return await asyncio.to_thread(self.read, key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        """Nothing is written."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Nothing is deleted."""
        raise NotImplementedError

    def list(self) -> AsyncIterator[str]:
        """Nothing is listed."""
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Nothing is listed."""
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Nothing is listed."""
        raise NotImplementedError

    def _fetched(self, key: str, start: int | None, end: int | None) -> bytes | None:
        path = self._path / key
        most = most_bytes(key)
        first = 0 if start is None else start
        # one byte more than there may be tells that there is more, and is all that comes of it
        last = first + most + 1 if end is None and first >= 0 else end
        store = RangeStore(path)

        def ask() -> bytes | None:
            try:
                return store.fetch(first, last, PATIENCE + _expected(first, last, most) / SLOWEST)
            except MissingError:
                return None

        data = repeated(path, "a chunk", ask)
        if data is not None and len(data) > _expected(first, last, most):
            raise OSError(f"{key} has more than {most} bytes, or its server gives no parts of files")
        return data


def _limits(byte_range: ByteRequest | None) -> tuple[int | None, int | None]:
    match byte_range:
        case RangeByteRequest(start, end):
            return start, end
        case OffsetByteRequest(offset):
            return offset, None
        case SuffixByteRequest(suffix):
            return -suffix, None
    return None, None


def _expected(first: int, last: int | None, most: int) -> int:
    """Bytes that may come, at most."""
    return min(most, -first if last is None else last - first)
