"""Zarr arrays whose chunks cannot fill the memory; imported only where an OME-Zarr is opened."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import zarr
from numcodecs.abc import Codec
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec
from zarr.abc.store import ByteRequest
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, TransposeCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.storage import LocalStore
from zarr.types import AnyArray

from napari_deepheme.files import gunzip_bounded, open_regular
from napari_deepheme.slide.tiff_plane import MAX_SEGMENT_BYTES

AnyCodec = ArrayArrayCodec | ArrayBytesCodec | BytesBytesCodec

_MAX_JSON = 4 * 2**20
_JSON = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")
_MAX_INDEX = 64 * 2**20
_SPARE = 2**16


class Folder(LocalStore):
    """A folder of which only regular files of bounded size are read."""

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Bytes of a file, None if it is not there.

        Raises
        ------
        OSError
            It is no regular file, or too large.
        """
        path = self.root / key
        if path.exists() and not path.is_dir():
            await asyncio.to_thread(_check, path, whole=byte_range is None)
        return await super().get(key, prototype, byte_range)


def _check(path: Path, *, whole: bool) -> None:
    with open_regular(path) as file:
        size = file.seek(0, 2)
    if whole and size > most_bytes(path.name):
        raise OSError(f"{path.name} has {size} bytes, expected at most {most_bytes(path.name)}")


def most_bytes(key: str) -> int:
    """Bytes that a file of a zarr may have to be read whole."""
    return _MAX_JSON if key.rpartition("/")[2] in _JSON else MAX_SEGMENT_BYTES


def bounded(array: AnyArray) -> AnyArray:
    """The same array, whose chunks are unpacked to the size they must have and no further.

    Raises
    ------
    ValueError
        Its chunks are too large, or packed in a way that is not supported.
    """
    _check_chunks(array)
    metadata = array.metadata
    if isinstance(metadata, ArrayV3Metadata):
        metadata = dataclasses.replace(metadata, codecs=tuple(map(_bounded_codec, metadata.codecs)))
    elif isinstance(metadata, ArrayV2Metadata):
        if metadata.filters:
            raise ValueError("its chunks are filtered")
        if metadata.compressor is not None:
            unpack = _unpacker(metadata.compressor.codec_id)
            compressor = _BoundedCompressor(unpack, math.prod(metadata.chunks) * array.dtype.itemsize)
            metadata = dataclasses.replace(metadata, compressor=compressor)
    return zarr.Array(zarr.AsyncArray(metadata, array.store_path))


def _check_chunks(array: AnyArray) -> None:
    if math.prod(array.chunks) * array.dtype.itemsize > MAX_SEGMENT_BYTES:
        raise ValueError(
            f"its chunks of {' × '.join(map(str, array.chunks))} are too large to unpack at once"
        )
    if array.shards and 16 * math.prod(array.shards) // math.prod(array.chunks) > _MAX_INDEX:
        raise ValueError("its shards hold too many chunks")


def _bounded_codec(codec: AnyCodec) -> AnyCodec:
    if isinstance(codec, ShardingCodec):
        return dataclasses.replace(codec, codecs=tuple(map(_bounded_codec, codec.codecs)))
    if isinstance(codec, BytesCodec | TransposeCodec | Crc32cCodec):
        return codec
    return _BoundedCodec(_unpacker(str(codec.to_dict()["name"])))


@dataclasses.dataclass(frozen=True)
class _BoundedCodec(BytesBytesCodec):
    """Unpacks a chunk of zarr 3."""

    unpack: Callable[[bytes, int], bytes]
    is_fixed_size = False

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        most = math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize
        data = await asyncio.to_thread(self.unpack, chunk_bytes.to_bytes(), most)
        return chunk_spec.prototype.buffer.from_bytes(data)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Nothing is written."""
        raise NotImplementedError


class _BoundedCompressor(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Unpacks a chunk of zarr 2."""

    codec_id = "napari-deepheme-bounded"

    def __init__(self, unpack: Callable[[bytes, int], bytes], most: int) -> None:
        self._unpack, self._most = unpack, most

    def decode(self, buf: bytes, out: object = None) -> bytes:
        """The chunk."""
        del out
        return self._unpack(bytes(buf), self._most)

    def encode(self, buf: object) -> bytes:
        """Nothing is written."""
        raise NotImplementedError


def _unpacker(name: str) -> Callable[[bytes, int], bytes]:
    try:
        return _UNPACKERS[name]
    except KeyError:
        raise ValueError(f"the compression {name!r} is not supported") from None


def _blosc(data: bytes, most: int) -> bytes:
    claimed = int.from_bytes(data[4:8], "little")
    if len(data) < 16 or claimed > most + _SPARE:
        raise ValueError(f"a chunk claims {claimed} bytes, expected {most}")
    return bytes(imagecodecs.blosc_decode(data))


def _zstd(data: bytes, most: int) -> bytes:
    return bytes(imagecodecs.zstd_decode(data, out=most + _SPARE))


def _gzip(data: bytes, most: int) -> bytes:
    return gunzip_bounded(data, most + _SPARE)


def _zlib(data: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, most + _SPARE)
    if not unpacker.eof:
        raise ValueError(f"a chunk is cut short or unpacks to more than {most} bytes")
    return unpacked


_UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {
    "blosc": _blosc, "zstd": _zstd, "gzip": _gzip, "zlib": _zlib,
}  # fmt: skip
