"""Fields of view as cameras write them, decoded whole: told by content, bounded before decoding."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from napari_deepheme.errors import SlideError
from napari_deepheme.files import read_bounded
from napari_deepheme.slide.damage import slipped_row
from napari_deepheme.slide.jpeg import Decoded, JpegKindError, read_jpeg, too_short_for
from napari_deepheme.slide.jpeg2000 import check_codestream, complaint
from napari_deepheme.slide.metadata import JPEG_DENSITY, MISSING, PNG_DENSITY, Spacing, turned
from napari_deepheme.slide.planes import ArrayPlane, Pixels, Source
from napari_deepheme.slide.png import check_png, png_shape
from napari_deepheme.slide.webp import leftover, webp_shape

MAX_PIXELS = 120 * 10**6
"""Larger pictures are refused: decoded whole they would fill the memory."""
_MAX_PROGRESSIVE = 60 * 10**6
"""A progressive JPEG is kept as coefficients of two bytes until its last scan is in."""
_MAX_FILE_BYTES = 4 * MAX_PIXELS
_MOST_DEFLATED = 1032
"""zlib cannot pack more bytes than these into one."""

_PNG_DEPTH = 24
"""Where a PNG's header has its bits a sample."""
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_PROFILED = {"RGB", "RGBA"}
_UM_PER_INCH = 25400.0
_FAULTS = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, RuntimeError, OverflowError, MemoryError,
    Image.DecompressionBombError,
)  # fmt: skip

_MAGIC = (
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("JPEG 2000", re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")),
    ("WebP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("BMP", re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)),
)


def picture_kind(head: bytes) -> str:
    """What kind of picture a file begins like, or nothing."""
    return next((kind for kind, magic in _MAGIC if magic.match(head)), "")


def open_picture(path: Path) -> Source:
    """Decode a PNG, JPEG, JPEG 2000, WebP or BMP file.

    Raises
    ------
    SlideError
        The file is damaged, larger than 120 megapixels or not an 8-bit picture.
    """
    kind = ""
    try:
        data = read_bounded(path, _MAX_FILE_BYTES)
        kind = picture_kind(data[:32])
        decoded = _READERS[kind](path, data)
        spacing, icc = _spacing(data, kind), _icc(data, kind)
    except _FAULTS as err:
        raise SlideError(_damaged(path, kind, str(err) or type(err).__name__)) from err
    if decoded.complaint:
        raise SlideError(_damaged(path, kind, decoded.complaint))
    warnings = _doubts(kind, decoded.pixels) + turned(_orientation(data, kind))
    return Source(kind, "", (ArrayPlane(decoded.pixels),), spacing, warnings=warnings, icc=icc)


def _damaged(path: Path, kind: str, why: str) -> str:
    return (
        f"{path}: the {kind} is damaged ({why.splitlines()[0][:160]}); copy it again from where it came from."
    )


def _doubts(kind: str, pixels: Pixels) -> tuple[str, ...]:
    row = slipped_row(pixels) if kind == "JPEG" else None
    if row is None:
        return ()
    return (
        f"The JPEG may be damaged: at line {row} is a row of blocks that fits "
        "neither what is above nor below; look at it before its cells are counted",
    )


def _check_size(path: Path, shape: tuple[int, int], most: int = 0) -> None:
    most = most or MAX_PIXELS
    if shape[0] * shape[1] > most:
        raise SlideError(
            f"{path}: the picture has {shape[0] * shape[1] / 1e6:.0f} megapixels, "
            f"at most {most // 10**6} can be decoded whole; "
            "convert it to a tiled pyramidal TIFF (vips tiffsave --tile --pyramid)."
        )


def _jpeg(path: Path, data: bytes) -> Decoded:
    try:
        jpeg = read_jpeg(data)
    except ValueError as err:
        try:
            return _through_pillow("JPEG")(path, data)  # CMYK, and damage that Pillow has a word for
        except UnidentifiedImageError:
            if isinstance(err, JpegKindError):
                raise SlideError(f"{path}: {err}; export it as 8-bit RGB.") from err
            raise err from None
    _check_size(path, (jpeg.rows, jpeg.columns), _MAX_PROGRESSIVE if jpeg.progressive else MAX_PIXELS)
    if not jpeg.progressive and too_short_for(len(data), jpeg.rows, jpeg.columns):
        raise ValueError(f"{len(data)} bytes cannot hold the {jpeg.columns} × {jpeg.rows} px of its header")
    decoded = jpeg.decode()
    return Decoded(_rgb(decoded.pixels), decoded.complaint)


def _png(path: Path, data: bytes) -> Decoded:
    height, width = png_shape(data)
    _check_size(path, (height, width))
    if height * width // 8 > len(data) * _MOST_DEFLATED:
        raise ValueError(f"{len(data)} bytes cannot hold the {width} × {height} px of its header")
    if data[_PNG_DEPTH] > 8:  # Pillow would halve colours without a word
        raise _deep(path, f"{data[_PNG_DEPTH]} bits")
    check_png(data)
    return _through_pillow("PNG")(path, data)


def _jpeg2000(path: Path, data: bytes) -> Decoded:
    _check_size(path, check_codestream(data))
    pixels = imagecodecs.jpeg2k_decode(data)
    if pixels.dtype != np.uint8:
        raise _deep(path, f"samples of type {pixels.dtype}")
    return Decoded(_rgb(pixels), complaint(data))


def _webp(path: Path, data: bytes) -> Decoded:
    _check_size(path, webp_shape(data))
    pixels = imagecodecs.webp_decode(data)
    return Decoded(_rgb(pixels), "bytes are left over after the last row" if leftover(data) else "")


def _through_pillow(kind: str) -> Callable[[Path, bytes], Decoded]:
    def read(path: Path, data: bytes) -> Decoded:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # bounded here, and lower
            with Image.open(io.BytesIO(data), formats=(kind,)) as image:
                _check_size(path, (image.height, image.width))
                if image.mode not in _MODES:
                    raise _deep(path, f"Pillow mode {image.mode!r}")
                indexed = image.mode in {"P", "PA"}
                return Decoded(np.asarray((image.convert("RGBA") if indexed else image).convert("RGB")))

    return read


def _deep(path: Path, what: str) -> SlideError:
    return SlideError(
        f"{path}: expected an 8-bit colour or grey picture, got {what}; export it as 8-bit RGB."
    )


def _rgb(pixels: NDArray[np.uint8]) -> Pixels:
    """Grey in three channels; alpha is dropped."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return (
        np.ascontiguousarray(pixels[..., :3]) if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, -1)
    )


_READERS: dict[str, Callable[[Path, bytes], Decoded]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "JPEG 2000": _jpeg2000,
    "WebP": _webp,
    "BMP": _through_pillow("BMP"),
}


def _spacing(data: bytes, kind: str) -> Spacing:
    """Only a density with a stated unit counts; whether it can be a µm/px is judged by the caller."""
    if kind not in {"PNG", "JPEG"}:
        return None, MISSING
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            stated = kind == "PNG" or image.info.get("jfif_unit") in {1, 2}
            dpi = image.info.get("dpi")
    if not stated or not dpi or min(dpi) <= 0:
        return None, MISSING
    source = PNG_DENSITY if kind == "PNG" else JPEG_DENSITY
    return (_UM_PER_INCH / float(dpi[1]), _UM_PER_INCH / float(dpi[0])), source


def _orientation(data: bytes, kind: str) -> object:
    if kind not in {"PNG", "JPEG", "WebP"}:
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of size, and of damaged EXIF
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            try:
                return image.getexif().get(ExifTags.Base.Orientation, 1)
            except (*_FAULTS, struct.error, TypeError, LookupError):  # no reason to refuse the picture
                return 1


def _icc(data: bytes, kind: str) -> bytes:
    if kind not in {"PNG", "JPEG", "WebP"}:
        return b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            profile = image.info.get("icc_profile")
            return profile if isinstance(profile, bytes) and image.mode in _PROFILED else b""
