"""TIFF slides: which pages are the pyramid, and what the file says of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, cast

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.file import BytesStream, SlideBytes
from napari_deepheme.slide.ifds import check_directories
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.slide.metadata import Vendor, turned, vendor_of
from napari_deepheme.slide.objective import objective_of
from napari_deepheme.slide.ome import check_metadata
from napari_deepheme.slide.planes import BlockCache, Plane, Source
from napari_deepheme.slide.segments import FAULTS, JPEG, JPEG2000
from napari_deepheme.slide.tiff_plane import COPY_AGAIN, Files, TiffPlane, short

_RGB, _YCBCR = 2, 6
_ICC, _ORIENTATION = 34675, 274
_FAULTS = (*FAULTS, TypeError, AttributeError, AssertionError, SyntaxError)
"""What tifffile raises on damaged files: it promises no narrower kind."""


def open_tiff(path: SlidePath, cache: BlockCache, file: SlideBytes | None = None) -> Source:
    """Open a TIFF of any supported vendor; ``file`` is its open file, if there is one already.

    Raises
    ------
    SlideError
        The file is damaged, cut short or not an 8-bit brightfield image.
    """
    files: Files | None = None
    try:
        files = Files(path, file)
        check_directories(files.main)
        place = path if isinstance(path, Path) else cast("IO[bytes]", BytesStream(files.main))
        with _quiet() as said, TiffFile(place, name=path.name) as tiff:
            check_metadata(path, tiff)
            return _source(tiff, cache, said, files)
    except SlideError:
        _close(files)
        raise
    except _FAULTS as err:
        _close(files)
        raise SlideError(f"{path}: not a readable TIFF ({short(err)}); {COPY_AGAIN}") from err


def _close(files: Files | None) -> None:
    if files is not None:
        files.close()


def _source(tiff: TiffFile, cache: BlockCache, said: list[str], files: Files) -> Source:
    path, vendor, series = files.path, vendor_of(tiff), list(tiff.series)
    if any(re.search(r"invalid (page )?offset|corrupted tag list", message) for message in said):
        raise SlideError(f"{path}: the file is cut short: it lists pages beyond its end; {COPY_AGAIN}")
    if not series:
        raise SlideError(f"{path}: the TIFF holds no image; {COPY_AGAIN}")
    main = max(series, key=lambda one: one.keyframe.imagelength * one.keyframe.imagewidth)
    warnings = _check_planes(path, main) + turned(main.keyframe.tags.valueof(_ORIENTATION, 1))
    others = [one for one in series if one is not main]
    levels = [main.levels[0], *_coarser(main, others if not vendor.flag else [])]
    planes = tuple(TiffPlane(files, level, cache, f"level {i}") for i, level in enumerate(levels))
    planes[0].check_readable()
    if vendor.flag == "is_bif":
        warnings += ("Ventana BIF tiles are not stitched: cells on a border may show twice or be cut",)
    associated: dict[str, Plane] = {}
    for name, one in _named(vendor, [one for one in others if one not in levels]):
        associated[name] = TiffPlane(files, one, cache, name)
    return Source(
        format=vendor.format,
        vendor=vendor.vendor,
        planes=planes,
        spacing=vendor.spacing(tiff, main.keyframe),
        associated=associated,
        warnings=warnings,
        close=files.close,
        objective=objective_of(vendor.flag, tiff, main.keyframe),
        icc=_icc(main.keyframe),
    )


def _icc(page: TiffPage) -> bytes:
    profile = page.tags.valueof(_ICC, b"")
    return profile if isinstance(profile, bytes) else b""


def _check_planes(path: SlidePath, series: TiffPageSeries) -> tuple[str, ...]:
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
    if samples == 3 and photometric == _YCBCR and page.compression in JPEG | JPEG2000:
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


_SAID: ContextVar[list[str] | None] = ContextVar("said", default=None)


def _hold(record: logging.LogRecord) -> bool:
    """Put what tifffile says while a file is judged into that judgement's own list."""
    said = _SAID.get()
    if said is None:
        return True
    said.append(record.getMessage())
    return False


# one filter for good: filters that come and go would hear what is said of the files of other threads
logging.getLogger("tifffile").addFilter(_hold)


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """Keep tifffile's log from the user while a file is judged; yields what it said of this file."""
    said: list[str] = []
    token = _SAID.set(said)
    try:
        yield said
    finally:
        _SAID.reset(token)
