"""Tiles and strips of a TIFF page to pixels: their headers checked before anything is decoded."""

from __future__ import annotations

import lzma
import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage

from napari_deepheme.slide.jpeg import Decoded, read_jpeg
from napari_deepheme.slide.jpeg2000 import check_codestream, complaint, rgb_from_aperio
from napari_deepheme.slide.png import check_png, png_shape
from napari_deepheme.slide.webp import leftover, webp_shape

JPEG = {6, 7, 34892, 33007}
JPEG2000 = {33003, 33004, 33005, 34712}
WEBP = {50001, 34927}
PNG = {34933}
_APERIO_YCBCR = 33003
_RGB = 2
_MAX_LZMA_BYTES = 64 * 2**20

FAULTS = (
    OSError, ValueError, RuntimeError, LookupError, ArithmeticError, EOFError, MemoryError, lzma.LZMAError,
    struct.error,
)  # fmt: skip
"""What decoders raise on damaged data: they promise no narrower kind."""


def _lzma(data: bytes, out: int) -> bytes:
    # imagecodecs' takes whatever memory the stream asks for
    return lzma.LZMADecompressor(memlimit=_MAX_LZMA_BYTES).decompress(data, max_length=out)


_BYTE_CODECS: dict[int, Callable[[bytes, int], Any]] = {
    1: lambda data, out: data[:out],
    5: lambda data, out: imagecodecs.lzw_decode(data, out=out + 1),
    8: lambda data, out: imagecodecs.zlib_decode(data, out=out),
    32946: lambda data, out: imagecodecs.zlib_decode(data, out=out),
    32773: lambda data, out: imagecodecs.packbits_decode(data, out=out + 1),
    50000: lambda data, out: imagecodecs.zstd_decode(data, out=out),
    34926: lambda data, out: imagecodecs.zstd_decode(data, out=out),
    34925: _lzma,
}

# one byte more than there should be shows that a damaged stream goes on: it seldom ends where it must

SUPPORTED = {*JPEG, *JPEG2000, *WEBP, *PNG, *_BYTE_CODECS}


class SegmentDecoder:
    """Decodes the segments of one page.

    Parameters
    ----------
    page : TiffPage
        Whose tags say how its segments are made; none of its pixels are read.

    Raises
    ------
    ValueError
        Its compression, or a detail of it, is not supported.
    """

    def __init__(self, page: TiffPage) -> None:
        self._compression, self._predictor = int(page.compression), int(page.predictor)
        self._samples = 1 if page.planarconfig == 2 else int(page.samplesperpixel)
        self._reversed_bits = page.fillorder == 2 and self._compression in _BYTE_CODECS
        self._tables, self._header = page.jpegtables or b"", page.jpegheader or b""
        self._rgb = int(page.photometric) == _RGB and not page.extrasamples and not page.is_jfif
        if self._compression not in SUPPORTED:
            raise ValueError(f"compression {self._compression} is not supported")
        if self._compression in _BYTE_CODECS and self._predictor not in (1, 2):
            raise ValueError(f"predictor {self._predictor} is not supported")

    def decode(self, data: bytes, block: tuple[int, int], room: tuple[int, int]) -> Decoded:
        """Pixels (h, w, samples) of a segment.

        Parameters
        ----------
        data : bytes
        block : tuple of int
            Rows and columns a segment may have at most.
        room : tuple of int
            Those of them that lie in the image: strips may end with it, tiles and some strips go on.

        Raises
        ------
        FAULTS
            Nothing can be made of it.
        """
        if self._compression in _BYTE_CODECS:
            return Decoded(self._from_bytes(data, block, room))
        rows, columns = block
        if self._compression in JPEG:
            decoded = self._jpeg(data, rows, columns)
        elif self._compression in JPEG2000:
            decoded = self._jpeg2000(data, rows, columns)
        elif self._compression in WEBP:
            decoded = self._webp(data, rows, columns)
        else:
            _check_shape("PNG", png_shape(data), rows, columns)
            check_png(data)
            decoded = Decoded(imagecodecs.png_decode(data))
        pixels = decoded.pixels
        if pixels.dtype != np.uint8:
            raise ValueError(f"its pixels are of type {pixels.dtype}, expected 8 bits")
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        if pixels.shape[-1] < min(self._samples, 3):
            raise ValueError(f"it has {pixels.shape[-1]} samples a pixel, expected {self._samples}")
        return Decoded(pixels, decoded.complaint)

    def _from_bytes(self, data: bytes, block: tuple[int, int], room: tuple[int, int]) -> NDArray[np.uint8]:
        line = block[1] * self._samples
        if self._reversed_bits:
            data = bytes(imagecodecs.bitorder_decode(data))
        found = np.frombuffer(_BYTE_CODECS[self._compression](data, block[0] * line), np.uint8)
        if found.size not in (block[0] * line, room[0] * line):
            raise ValueError(f"it unpacks to {found.size} bytes, expected {block[0] * line}")
        pixels = found.reshape(-1, block[1], self._samples)
        # the second kind stores differences along a row
        return pixels if self._predictor == 1 else np.cumsum(pixels, axis=1, dtype=np.uint8)

    def _jpeg(self, data: bytes, rows: int, columns: int) -> Decoded:
        if self._header:  # Hamamatsu keeps the header once, and tiles without an end
            data = self._header + data + b"\xff\xd9"
        jpeg = read_jpeg(data, tables=self._tables, rgb=self._rgb)
        _check_shape("JPEG", (jpeg.rows, jpeg.columns), rows, columns)
        return jpeg.decode()

    def _jpeg2000(self, data: bytes, rows: int, columns: int) -> Decoded:
        _check_shape("JPEG 2000", check_codestream(data), rows, columns)
        pixels = imagecodecs.jpeg2k_decode(data)
        rgb = rgb_from_aperio(data, pixels) if self._compression == _APERIO_YCBCR else pixels
        return Decoded(rgb, complaint(data))

    def _webp(self, data: bytes, rows: int, columns: int) -> Decoded:
        _check_shape("WebP", webp_shape(data), rows, columns)
        pixels = imagecodecs.webp_decode(data, hasalpha=self._samples == 4)
        return Decoded(pixels, "bytes are left over after the last row" if leftover(data) else "")


def _check_shape(kind: str, claimed: tuple[int, int], rows: int, columns: int) -> None:
    """Refuse what would not fit its place, before memory is taken for it."""
    if not (0 < claimed[0] <= rows and 0 < claimed[1] <= columns):
        raise ValueError(
            f"its {kind} header claims {claimed[1]} × {claimed[0]} px for a place of {columns} × {rows}"
        )
