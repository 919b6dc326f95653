"""JPEG streams: their header checked before anything is decoded, and what the decoder had to complain of.

libjpeg goes on where it can: it resynchronises after a broken code, fills with grey what is missing, and only
warns. simplejpeg hands these warnings on (Pillow and imagecodecs drop them).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS = 0xDA
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_TURBO_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
"""Baseline, extended, progressive, Huffman or arithmetic; lossless, JPEG-LS, hierarchical are refused."""
_NEEDED = {0xDB, 0xC4, 0xCC, 0xDD, *_FRAMES}
_JFIF, _ADOBE = 0xE0, 0xEE
_MAX_SEGMENTS, _MAX_SCANS = 2000, 100
_MIN_BITS_PER_BLOCK = 2
"""An empty block of 8 × 8 takes a code for its mean and one for its end, a bit each at the very least."""


class JpegKindError(ValueError):
    """A JPEG of a kind that is not supported."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels of a tile, and the decoder's complaint, "" if it had none."""

    pixels: NDArray[np.uint8]
    complaint: str = ""


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG stream that stands for itself.

    Attributes
    ----------
    stream : bytes
        With its tables, without comments, and with an Adobe marker that says what its colours are.
    rows, columns, components : int
        As its header claims.
    progressive : bool
    """

    stream: bytes
    rows: int
    columns: int
    components: int
    progressive: bool

    def decode(self) -> Decoded:
        """Pixels (h, w, 1 or 3), also of a damaged stream.

        Raises
        ------
        ValueError
            Nothing can be made of it.
        """
        colour = "GRAY" if self.components == 1 else "RGB"
        try:
            return Decoded(simplejpeg.decode_jpeg(self.stream, colour))
        except ValueError as err:
            complaint = str(err)
        return Decoded(simplejpeg.decode_jpeg(self.stream, colour, strict=False), complaint)


def read_jpeg(data: bytes, *, tables: bytes = b"", rgb: bool = False) -> Jpeg:
    """Read the header of a JPEG stream.

    Parameters
    ----------
    data : bytes
        From its start marker on.
    tables : bytes
        A stream of tables only, as TIFF keeps it for all tiles.
    rgb : bool
        Whether three components are RGB whatever the stream says (TIFF's photometric kind); otherwise they
        are YCbCr unless an Adobe marker or their names say RGB.

    Raises
    ------
    JpegKindError
        Of a kind that is not supported.
    ValueError
        No JPEG, or with a header that cannot be true.
    """
    shared = [part for part in _header(tables)[0] if part[1] in _NEEDED] if tables else []
    parts, start = _header(data)
    frames = [part for part in parts if part[1] in _FRAMES]
    if start == 0 or len(frames) != 1:
        raise ValueError("not one frame and one scan in the JPEG header")
    frame = frames[0]
    if frame[1] not in _TURBO_FRAMES or len(frame) < 10 or frame[4] != 8:
        raise JpegKindError(
            f"a JPEG of kind 0x{frame[1]:x} and {frame[4]} bits is not supported, "
            "expected baseline or progressive of 8 bits"
        )
    rows, columns, components = struct.unpack(">HHB", frame[5:10])
    if components not in (1, 3) or not rows or not columns:
        raise ValueError(f"JPEG header claims {columns} × {rows} px in {components} components")
    if data.count(b"\xff\xda") > _MAX_SCANS:
        raise ValueError(f"more than {_MAX_SCANS} scans")
    kept = [part for part in parts if part[1] in _NEEDED]
    colours = [_adobe(0 if rgb or _says_rgb(parts, frame) else 1)] if components == 3 else []
    stream = b"".join([_SOI, *colours, *shared, *kept, data[start:]])
    return Jpeg(stream, rows, columns, components, frame[1] in {0xC2, 0xCA})


def too_short_for(n_bytes: int, rows: int, columns: int) -> bool:
    """Whether so few bytes cannot hold the blocks of a picture, however empty."""
    return n_bytes * 8 < (rows // 8) * (columns // 8) * _MIN_BITS_PER_BLOCK


def _header(data: bytes) -> tuple[list[bytes], int]:
    """Segments before the first scan, each with its marker, and where the scan begins; 0 without one."""
    if data[:2] != _SOI:
        raise ValueError("no JPEG start marker")
    parts: list[bytes] = []
    at = 2
    while at + 4 <= len(data) and len(parts) < _MAX_SEGMENTS:
        if data[at] != 0xFF:
            raise ValueError(f"no JPEG marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # any number of these may come before a marker
            at += 1
            continue
        if marker == _SOS:
            return parts, at
        if marker == 0xD9:
            break
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > len(data):
            raise ValueError(f"JPEG segment 0x{marker:x} is cut short")
        parts.append(data[at : at + 2 + length])
        at += 2 + length
    return parts, 0


def _says_rgb(parts: list[bytes], frame: bytes) -> bool:
    """What libjpeg takes the colours for: JFIF is YCbCr, Adobe says it, else the components' names do."""
    if any(part[1] == _JFIF and part[4:9] == b"JFIF\0" for part in parts):
        return False
    adobe = [part for part in parts if part[1] == _ADOBE and part[4:9] == b"Adobe" and len(part) >= 16]
    if adobe:
        return adobe[-1][15] == 0
    return bytes(frame[10::3][:3]) == b"RGB"


def _adobe(transform: int) -> bytes:
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
