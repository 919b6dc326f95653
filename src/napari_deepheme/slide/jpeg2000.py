"""Colours of Aperio's own JPEG 2000 tiles."""

from __future__ import annotations

import numpy as np

from napari_deepheme.slide.planes import Pixels

_SIZ_CHROMA = 46
"""Where a codestream keeps the sampling of its second component (ISO 15444-1, A.5.1)."""
_COD = b"\xff\x52"
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
