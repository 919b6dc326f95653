"""Colours of Aperio's own JPEG 2000 tiles."""

from __future__ import annotations

import re
import struct

import numpy as np

from napari_deepheme.slide.planes import Pixels

_SIZ_START = b"\xff\x4f\xff\x51"
_MAX_PIECES = 1024
_SIZ_CHROMA = 46
"""Where a codestream keeps the sampling of its second component (ISO 15444-1, A.5.1)."""
_COD = b"\xff\x52"
_SOT, _SOD, _EOC = b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_IMPOSSIBLE = re.compile(rb"\xff[\x90\x93-\xff]")
"""But for SOP and EPH (0xFF91, 0xFF92), which may lie between packets."""
_COD_TRANSFORM = 8
"""Offset of the colour transform's flag from the COD marker (A.6.1)."""

_RGB_FROM_YCBCR = np.array([[1, 1, 1], [0, -0.344136, 1.772], [1.402, -0.714136, 0]], np.float32)


def rgb_from_aperio(data: bytes, pixels: Pixels) -> Pixels:
    """RGB pixels of a tile with Aperio's compression 33003.

    Such a tile holds YCbCr without saying so. The decoder sees it only when the chroma is subsampled,
    and then has converted it already; otherwise it is converted here.
    """
    subsampled = data[_SIZ_CHROMA : _SIZ_CHROMA + 2] != b"\x01\x01"
    cod = data.find(_COD)
    transformed = cod >= 0 and data[cod + _COD_TRANSFORM : cod + _COD_TRANSFORM + 1] == b"\x01"
    if subsampled or transformed or pixels.shape[-1] != 3:
        return pixels
    centred = pixels.astype(np.float32) - np.array([0, 128, 128], np.float32)
    rgb: Pixels = np.clip(np.rint(centred @ _RGB_FROM_YCBCR), 0, 255).astype(np.uint8)
    return rgb


def complaint(data: bytes) -> str:
    """What is wrong with the structure of a codestream whose header was checked, "" if nothing is.

    Its decoder takes any bytes for some picture. But the lengths of its parts lead to its end marker (A.4),
    and between them no 0xFF is followed by more than 0x8F: encoders stuff a bit to keep markers out (B.10.1,
    C.3).
    """
    at = data.find(_SIZ_START) + 2
    while data[at : at + 2] != _SOT:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at : at + 1] != b"\xff" or length < 2:
            return "its header leads to no tile"
        at += 2 + length
    while data[at : at + 2] == _SOT:
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        end = at + length if length else data.rfind(_EOC)
        body = data.find(_SOD, at, end) + 2
        if (length and length < 14) or body < at + 2:
            return f"its part at byte {at} holds no data"
        if _IMPOSSIBLE.search(data, body, min(end, len(data))):
            return "its data hold what no encoder writes"
        at = end
    return "" if data[at : at + 2] == _EOC else "its parts do not lead to its end"


def check_codestream(data: bytes) -> tuple[int, int]:
    """Rows and columns that a codestream's header claims (A.5.1), after what could fill the memory.

    Raises
    ------
    ValueError
        No JPEG 2000, or one cut into so many pieces or components that it cannot be a tile.
    """
    at = data.find(_SIZ_START)
    if at < 0 or len(data) < at + 42:
        raise ValueError("no JPEG 2000 codestream")
    width, height, left, top, tile_width, tile_height, tile_left, tile_top, components = struct.unpack(
        ">8IH", data[at + 8 : at + 42]
    )
    pieces = -(-max(0, width - tile_left) // max(1, tile_width)) * -(
        -max(0, height - tile_top) // max(1, tile_height)
    )
    if components not in (1, 2, 3, 4) or not tile_width or not tile_height or pieces > _MAX_PIECES:
        raise ValueError(f"its JPEG 2000 header claims {pieces} pieces of {components} components")
    return height - top, width - left
