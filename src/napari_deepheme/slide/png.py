"""PNG streams: what their header claims, and whether their checksums hold (Pillow does not look at all)."""

from __future__ import annotations

import zlib

_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}


def png_shape(data: bytes) -> tuple[int, int]:
    """Rows and columns that a PNG's header claims.

    Raises
    ------
    ValueError
        No PNG.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise ValueError("no PNG header")
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def check_png(data: bytes) -> None:
    """Compare the checksums of all that makes the picture.

    Raises
    ------
    ValueError
        One is wrong, or the end is missing.
    """
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            raise ValueError("the PNG is cut short")
        if kind in _CRITICAL and zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(
            data[end : end + 4], "big"
        ):
            raise ValueError(f"the checksum of its {kind.decode()} at byte {at} is wrong")
        at = end + 4
