"""TIFF slides: which pages are the pyramid, and their tiles decoded through tifffile."""

from __future__ import annotations

import logging
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.jpeg2000 import rgb_from_aperio
from napari_deepheme.slide.metadata import Vendor, vendor_of
from napari_deepheme.slide.planes import WHITE, BlockCache, Pixels, Plane, Source, assemble

MAX_SEGMENT_BYTES = 512 * 2**20
"""A strip or tile that decodes to more than this is refused."""

_JPEG = {6, 7, 34892, 33007}
_JPEG2000 = {33003, 33004, 33005, 34712}
_APERIO_YCBCR = 33003
_RGB, _YCBCR = 2, 6
_FAULTS = (
    OSError, ValueError, RuntimeError, LookupError, ArithmeticError, TypeError, AttributeError,
    AssertionError, SyntaxError, struct.error,
)  # fmt: skip
"""What tifffile and imagecodecs raise on damaged files: they promise no narrower kind."""


class TiffPlane:
    """One page of a TIFF, read tile by tile (or strip by strip)."""

    def __init__(
        self, path: Path, series: TiffPageSeries, cache: BlockCache, lock: threading.RLock, name: str
    ) -> None:
        page = series.pages[0]
        if page is None:
            raise SlideError(f"{path}: {name} has no pixels in this file; {_COPY_AGAIN}")
        self._path, self._page, self._key, self._name = path, page, series.keyframe, name
        self._cache, self._lock = cache, lock
        key = self._key
        self.shape: tuple[int, int] = (key.imagelength, key.imagewidth)
        self._samples = int(key.samplesperpixel)
        self._planar = key.planarconfig == 2 and self._samples > 1
        self._raw = not (key.is_tiled or self._planar) and key.compression == 1 and _is_one_run(key)
        self.block = self._block_shape()
        self._across = -(-self.shape[1] // self.block[1])
        self._down = -(-self.shape[0] // self.block[0])
        self._check_segments()

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the pixels of a half-open window that lies inside the plane."""
        return assemble((top, left, bottom, right), self.block, self._get)

    def try_first(self) -> None:
        """Decode one tile, so that an unknown compression is told of at opening."""
        if self.block[0] * self.block[1] <= 2**24:
            counts = np.asarray(self._page.databytecounts[: self._across * self._down])
            first = int(np.argmax(counts > 0))
            self._get(first // self._across, first % self._across)

    def _block_shape(self) -> tuple[int, int]:
        key, (height, width) = self._key, self.shape
        if key.is_tiled:
            return key.tilelength, key.tilewidth
        if self._raw:
            return min(height, max(1, 2**20 // (width * self._samples))), width
        return min(height, key.rowsperstrip or height), width

    def _check_segments(self) -> None:
        """Refuse, before anything is decoded, a file that was cut short or that has one huge strip."""
        size = self._page.parent.filehandle.size
        offsets = np.asarray(self._page.dataoffsets, np.int64)
        counts = np.asarray(self._page.databytecounts, np.int64)
        if self._raw:
            counts = np.array([self.shape[0] * self.shape[1] * self._samples])
        elif len(offsets) < self._across * self._down * (self._samples if self._planar else 1):
            raise SlideError(f"{self._path}: {self._name} lists fewer tiles than it needs; {_COPY_AGAIN}")
        n = min(len(offsets), len(counts))
        needed = int((offsets[:n] + counts[:n]).max(initial=0))
        if needed > size:
            raise SlideError(
                f"{self._path}: the file is cut short: {self._name} needs {needed} bytes "
                f"and there are {size}; {_COPY_AGAIN}"
            )
        if not self._raw and self.block[0] * self.block[1] * 3 > MAX_SEGMENT_BYTES:
            raise SlideError(
                f"{self._path}: {self._name} is stored as strips of {self.block[0]} × {self.block[1]} px, "
                "too large to decode one at a time; "
                "convert it to a tiled pyramid (vips tiffsave --tile --pyramid)."
            )

    def _get(self, row: int, column: int) -> Pixels:
        return self._cache.get((self._name, row, column), lambda: self._block(row, column))

    def _block(self, row: int, column: int) -> Pixels:
        try:
            return self._as_rgb(self._rows(row) if self._raw else self._decoded(row, column))
        except _FAULTS as err:
            raise SlideError(
                f"{self._path}: tile ({row}, {column}) of {self._name} cannot be decoded ({_short(err)}): "
                f"the file is damaged or its compression is not supported; {_COPY_AGAIN}"
            ) from err

    def _rows(self, row: int) -> Pixels:
        """Read a block of an uncompressed run of rows directly: its strips may be any size."""
        rows = min(self.block[0], self.shape[0] - row * self.block[0])
        line = self.shape[1] * self._samples
        data = self._read(self._page.dataoffsets[0] + row * self.block[0] * line, rows * line)
        return np.frombuffer(data or b"", np.uint8).reshape(rows, self.shape[1], self._samples)

    def _decoded(self, row: int, column: int) -> Pixels:
        index = row * self._across + column
        if not self._planar:
            return self._segment(index)
        step = self._across * self._down
        return np.concatenate([self._segment(index + sample * step) for sample in range(3)], axis=-1)

    def _segment(self, index: int) -> Pixels:
        data = self._read(self._page.dataoffsets[index], self._page.databytecounts[index])
        if data is None:
            glass = WHITE if self._key.photometric else 0  # kind 0 counts from white down
            return np.full((*self.block, 1 if self._planar else self._samples), glass, np.uint8)
        tables: dict[str, Any] = {}
        if self._key.compression in _JPEG:
            tables = {"jpegtables": self._page.jpegtables, "jpegheader": self._key.jpegheader}
        decoded: Any = self._key.decode(data, index, **tables)
        pixels: Pixels = decoded[0][0]
        return rgb_from_aperio(data, pixels) if self._key.compression == _APERIO_YCBCR else pixels

    def _read(self, offset: int, count: int) -> bytes | None:
        handle = self._page.parent.filehandle
        if handle.closed:
            raise SlideError(f"{self._path}: the slide was closed; open it again to read from it.")
        if not offset or not count:
            return None
        with self._lock:
            handle.seek(offset)
            data: bytes = handle.read(count)
        return data

    def _as_rgb(self, pixels: Pixels) -> Pixels:
        if pixels.shape[-1] >= 3:
            return np.ascontiguousarray(pixels[..., :3])
        grey = pixels[..., :1] if self._key.photometric else WHITE - pixels[..., :1]
        return np.repeat(grey, 3, axis=-1)


_COPY_AGAIN = "copy it again from the scanner or archive."


def open_tiff(path: Path, cache: BlockCache) -> Source:
    """Open a TIFF of any supported vendor.

    Raises
    ------
    SlideError
        The file is damaged, cut short or not an 8-bit brightfield image.
    """
    with _quiet() as said:
        try:
            tiff = TiffFile(path)
        except _FAULTS as err:
            raise SlideError(f"{path}: not a readable TIFF ({_short(err)}); {_COPY_AGAIN}") from err
        try:
            return _source(path, tiff, cache, said)
        except _FAULTS as err:
            tiff.close()
            raise SlideError(f"{path}: its pages cannot be read ({_short(err)}); {_COPY_AGAIN}") from err
        except SlideError:
            tiff.close()
            raise


def _source(path: Path, tiff: TiffFile, cache: BlockCache, said: list[str]) -> Source:
    vendor, series = vendor_of(tiff), list(tiff.series)
    if any(re.search(r"invalid (page )?offset|corrupted tag list", message) for message in said):
        raise SlideError(f"{path}: the file is cut short: it lists pages beyond its end; {_COPY_AGAIN}")
    if not series:
        raise SlideError(f"{path}: the TIFF holds no image; {_COPY_AGAIN}")
    main = max(series, key=lambda one: one.keyframe.imagelength * one.keyframe.imagewidth)
    warnings = _check_planes(path, main)
    others = [one for one in series if one is not main]
    lock = threading.RLock()
    levels = [main.levels[0], *_coarser(main, others if not vendor.flag else [])]
    planes = tuple(TiffPlane(path, level, cache, lock, f"level {i}") for i, level in enumerate(levels))
    planes[0].try_first()
    if vendor.flag == "is_bif":
        warnings += ("Ventana BIF tiles are not stitched: cells on a border may show twice or be cut",)
    associated: dict[str, Plane] = {}
    for name, one in _named(vendor, [one for one in others if one not in levels]):
        associated[name] = TiffPlane(path, one, cache, lock, name)
    spacing = vendor.spacing(tiff, main.keyframe)
    return Source(vendor.format, vendor.vendor, planes, spacing, associated, warnings, tiff.close)


def _check_planes(path: Path, series: TiffPageSeries) -> tuple[str, ...]:
    """Refuse what is not 8-bit brightfield; say when only one of several planes is read."""
    page: TiffPage = series.keyframe
    sizes = zip(series.axes, series.shape, strict=True)
    extra = {axis: n for axis, n in sizes if axis not in "YXS" and n > 1}
    channels = extra.get("C", 1)
    fault = _layout_fault(page) or (f"{channels} separate channels" if channels > 1 else "")
    if fault:
        raise SlideError(
            f"{path}: expected an 8-bit RGB or grey brightfield image, got {fault}; "
            "fluorescence and raw data cannot be used, export the slide as 8-bit RGB."
        )
    if not extra:
        return ()
    planes = ", ".join(f"{axis} {n}" for axis, n in extra.items())
    return (f"The file holds several planes ({planes}); only the first is used",)


def _layout_fault(page: TiffPage) -> str:
    """Say what keeps a page from being read as RGB, or nothing."""
    samples, photometric = int(page.samplesperpixel), int(page.photometric)
    if page.bitspersample != 8 or page.dtype != np.uint8:
        return f"{page.bitspersample}-bit samples of type {page.dtype}"
    if samples <= 2 and photometric in {0, 1}:
        return ""
    if samples >= 3 and photometric == _RGB:
        return ""
    if samples == 3 and photometric == _YCBCR and page.compression in _JPEG | _JPEG2000:
        return ""
    return f"{samples} samples of photometric kind {page.photometric!r}"


def _coarser(main: TiffPageSeries, others: list[TiffPageSeries]) -> Iterator[TiffPageSeries]:
    """Levels below the first, in order; ``others`` are pages that may be levels tifffile did not see."""
    first, last = main.keyframe, main.keyframe
    found = sorted([*main.levels[1:], *others], key=lambda one: -one.keyframe.imagewidth)
    for level in found:
        page = level.keyframe
        if page.imagewidth >= last.imagewidth or level.pages[0] is None or _layout_fault(page):
            continue
        if level in others and not (page.is_tiled or page.is_reduced):
            continue
        y, x = first.imagelength / page.imagelength, first.imagewidth / page.imagewidth
        # the ratio may be off by a pixel's rounding of the smaller level
        if abs(y / x - 1) <= 0.01 + 2 / min(page.imagelength, page.imagewidth):
            last = page
            yield level


def _named(vendor: Vendor, series: list[TiffPageSeries]) -> Iterator[tuple[str, TiffPageSeries]]:
    """Label, macro, thumbnail and the like, each under a name of its own."""
    seen: set[str] = set()
    for number, one in enumerate(series, start=1):
        if one.pages[0] is None or _layout_fault(one.keyframe):
            continue
        name = "macro" if vendor.flag == "is_scn" and number == 1 else str(one.name or "").strip().lower()
        if not name or name in seen:
            name = f"{name or 'image'}-{number}"
        seen.add(name)
        yield name, one


def _is_one_run(page: TiffPage) -> bool:
    return bool(page.is_contiguous) and page.predictor == 1 and page.fillorder == 1


def _short(err: BaseException) -> str:
    lines = str(err).strip().splitlines()
    return (lines[0] if lines else type(err).__name__)[:120]


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """Keep tifffile's log from the user while a file is judged; yields what it said."""
    said: list[str] = []

    def hold(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(hold)
    try:
        yield said
    finally:
        logger.removeFilter(hold)
