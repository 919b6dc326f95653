"""WebP tiles: what their header claims, and whether their decoder used all they hold."""

from __future__ import annotations

from dataclasses import dataclass

import imagecodecs

_SPARE = {b"VP8 ": 6, b"VP8L": 3}
"""Bytes that a sound stream cannot do without at its end: of 60 tiles at most 4 and 2 could go unnoticed."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    start: int
    size: int


def webp_shape(data: bytes) -> tuple[int, int]:
    """Rows and columns that a WebP's header claims.

    Raises
    ------
    ValueError
        No WebP.
    """
    chunk = _image_chunk(data)
    body = data[chunk.start : chunk.start + chunk.size]
    if chunk.kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return ((bits >> 14) & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if chunk.kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(body[i : i + 2], "little") & 0x3FFF for i in (6, 8))
        return height, width
    raise ValueError("no WebP key frame")


def leftover(data: bytes) -> bool:
    """Whether the decoder comes to the end of a tile before the tile's bytes do.

    WebP has no checksum, and its arithmetic decoder takes any bytes for some picture; but a damaged stream
    rarely ends where its picture does. One that wants more is refused by libwebp. One that wants less still
    decodes with its end cut off.
    """
    chunk = _image_chunk(data)
    if chunk.size <= 64:  # a tile of one colour
        return False
    body = data[chunk.start : chunk.start + chunk.size - _SPARE[chunk.kind]]
    padding = b"\0" * (len(body) % 2)
    riff = b"WEBP" + chunk.kind + len(body).to_bytes(4, "little") + body + padding
    try:
        imagecodecs.webp_decode(b"RIFF" + len(riff).to_bytes(4, "little") + riff)
    except imagecodecs.WebpError:
        return False
    return True


def _image_chunk(data: bytes) -> _Chunk:
    """The one still image of a WebP."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("no WebP header")
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            if at + 8 + size > len(data):
                raise ValueError("its image data are cut short")
            return _Chunk(kind, at + 8, size)
        if kind == b"ANIM":
            raise ValueError("an animation, expected a still image")
        at += 8 + size + size % 2
    raise ValueError("no image in the WebP")
