"""PNG and JPEG fields of view, decoded whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL.Image import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.damage import jpeg_damage
from napari_deepheme.slide.metadata import JPEG_DENSITY, MISSING, PNG_DENSITY, Spacing
from napari_deepheme.slide.planes import ArrayPlane, Pixels, Source

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
MAX_PIXELS = 400 * 10**6
"""Larger pictures are refused: decoded whole they would fill the memory."""

_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_UM_PER_INCH = 25400.0


def open_picture(path: Path) -> Source:
    """Decode a PNG or JPEG file.

    Raises
    ------
    SlideError
        The file is damaged, larger than 400 megapixels or not an 8-bit picture.
    """
    data = path.read_bytes()
    kind = "PNG" if data.startswith(PNG_MAGIC) else "JPEG"
    try:
        # not Image.open: its bomb check warns from 89 megapixels on, which a stitched field may have
        image = (PngImageFile if kind == "PNG" else JpegImageFile)(io.BytesIO(data))
        pixels = _decoded(path, image)
        damage = jpeg_damage(data, pixels) if kind == "JPEG" else ""
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as err:
        raise SlideError(_damaged(path, kind, str(err))) from err
    if damage:
        raise SlideError(_damaged(path, kind, damage))
    spacing = _spacing(image, kind)
    return Source(kind, "", (ArrayPlane(pixels),), spacing)


def _damaged(path: Path, kind: str, why: str) -> str:
    return f"{path}: the {kind} is damaged ({why}); copy it again from where it came from."


def _decoded(path: Path, image: Image) -> Pixels:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise SlideError(
            f"{path}: the picture has {width * height / 1e6:.0f} megapixels, "
            f"at most {MAX_PIXELS // 10**6} can be decoded whole; "
            "convert it to a tiled pyramidal TIFF (vips tiffsave --tile --pyramid)."
        )
    if image.mode not in _MODES:
        raise SlideError(
            f"{path}: expected an 8-bit colour or grey picture, got Pillow mode {image.mode!r}; "
            "export it as 8-bit RGB."
        )
    if image.mode in {"P", "PA"}:
        return np.asarray(image.convert("RGBA").convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _spacing(image: Image, kind: str) -> Spacing:
    """Only a density with a stated unit counts; whether it can be a µm/px is judged by the caller."""
    stated = kind == "PNG" or image.info.get("jfif_unit") in {1, 2}
    dpi = image.info.get("dpi")
    if not stated or not dpi or min(dpi) <= 0:
        return None, MISSING
    source = PNG_DENSITY if kind == "PNG" else JPEG_DENSITY
    return (_UM_PER_INCH / float(dpi[1]), _UM_PER_INCH / float(dpi[0])), source
