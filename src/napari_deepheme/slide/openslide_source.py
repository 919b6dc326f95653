"""Slides that are left to OpenSlide: DICOM, MRXS, VMS and CZI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageCms

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.metadata import MISSING, Spacing, positive
from napari_deepheme.slide.openslide_kinds import Kind, check_parts
from napari_deepheme.slide.planes import WHITE, BlockCache, Plane, Source
from napari_deepheme.slide.tiff_plane import COPY_AGAIN, MAX_SEGMENT_BYTES, short

if TYPE_CHECKING:
    from napari_deepheme.slide.openslide_plane import Handle

_MAX_SIDE = 500_000
_MAX_ASSOCIATED_PIXELS = 120 * 10**6
_MAX_ICC_BYTES = 16 * 2**20
_MAX_TILE_SIDE = 8192


def open_with_openslide(path: Path, kind: Kind, cache: BlockCache) -> Source:
    """Open a slide through OpenSlide.

    Raises
    ------
    SlideError
        OpenSlide is not installed, cannot open it, or it asks for too much.
    """
    try:
        from napari_deepheme.slide import openslide_plane as through  # noqa: PLC0415  an optional extra
    except (ImportError, OSError) as err:
        raise SlideError(
            f"{path}: {kind.format} slides are read by OpenSlide, which is not installed; "
            "pip install 'napari-deepheme[openslide]'."
        ) from err
    check_parts(path, kind)
    try:
        handle = through.Handle(path)
    except through.FAULTS as err:
        raise SlideError(
            f"{path}: OpenSlide cannot read this {kind.format} file ({short(err)}); "
            "copy the slide again with all of its files."
        ) from err
    try:
        return _source(handle, kind, cache)
    except through.FAULTS as err:
        handle.close()
        raise SlideError(f"{path}: the {kind.format} is damaged ({short(err)}); {COPY_AGAIN}") from err
    except BaseException:
        handle.close()
        raise


def _source(handle: Handle, kind: Kind, cache: BlockCache) -> Source:
    from napari_deepheme.slide.openslide_plane import OpenSlidePlane  # noqa: PLC0415  an optional extra

    slide = handle.get()
    # all that is asked before a tile is read: a fault there ends the handle; damaged names have no value
    says = {name: said for name in slide.properties if (said := slide.properties.get(name)) is not None}
    _check_sizes(handle.path, slide.level_dimensions, says)
    background = _background(says.get("openslide.background-color", ""))
    source = Source(
        format=kind.format,
        vendor=kind.vendor or says.get("dicom.Manufacturer", ""),
        planes=tuple(OpenSlidePlane(handle, level, background, cache) for level in range(slide.level_count)),
        spacing=_spacing(says, kind),
        associated=_associated(handle, says),
        objective=positive(says.get("openslide.objective-power")),
        icc=_icc(handle),
        close=handle.close,
    )
    check_readable(source.planes[0], handle.path)
    return source


def _associated(handle: Handle, says: Mapping[str, str]) -> dict[str, Plane]:
    from napari_deepheme.slide.openslide_plane import AssociatedPlane  # noqa: PLC0415  an optional extra

    found: dict[str, Plane] = {}
    for name in handle.get().associated_images:
        sides = (says.get(f"openslide.associated.{name}.{side}") for side in ("height", "width"))
        height, width = (_whole(side) for side in sides)
        if 0 < height * width <= _MAX_ASSOCIATED_PIXELS:
            found[name] = AssociatedPlane(handle, name, (height, width))
    return found


def check_readable(plane: Plane, path: Path) -> None:
    """Decode a block, and another two if it is damaged: when nothing at all comes out, refuse the file.

    Raises
    ------
    SlideError
        It does.
    """
    said = ""
    height, width = plane.shape
    for y, x in ((0, 0), (height // 2, width // 2), (height - 1, width - 1)):
        window = (y, x, y + 1, x + 1)
        plane.read(*window)
        said = plane.damage(*window)
        if not said:
            return
    raise SlideError(f"{path}: nothing of it can be decoded, it may be cut short: {said}")


def _check_sizes(path: Path, levels: tuple[tuple[int, int], ...], says: Mapping[str, str]) -> None:
    """Refuse what a slide cannot have, before any pixel is decoded."""
    width, height = levels[0]
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise SlideError(
            f"{path}: the slide claims {width} × {height} px, expected at most {_MAX_SIDE} a side; "
            f"{COPY_AGAIN}"
        )
    for level in range(len(levels)):
        tile = [_whole(says.get(f"openslide.level[{level}].tile-{side}")) for side in ("width", "height")]
        if 4 * tile[0] * tile[1] > MAX_SEGMENT_BYTES:
            raise SlideError(
                f"{path}: level {level} has tiles of {tile[0]} × {tile[1]} px, too large to decode one at a "
                "time; convert it to a tiled pyramid (vips tiffsave --tile --pyramid)."
            )
    sides = [_whole(value) for name, value in says.items() if re.search(r"\.DIGITIZER_(WIDTH|HEIGHT)$", name)]
    if max(sides, default=0) > _MAX_TILE_SIDE:
        raise SlideError(
            f"{path}: the slide claims tiles {max(sides)} px wide or high, expected at most "
            f"{_MAX_TILE_SIDE}; {COPY_AGAIN}"
        )


def _spacing(says: Mapping[str, str], kind: Kind) -> Spacing:
    y, x = (positive(says.get(f"openslide.mpp-{axis}")) for axis in "yx")
    return ((y, x), kind.spacing) if y is not None and x is not None else (None, MISSING)


def _background(text: str) -> tuple[int, int, int]:
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", text):
        return (WHITE, WHITE, WHITE)
    return int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)


def _icc(handle: Handle) -> bytes:
    slide = handle.get()
    if not 0 < _whole(slide.properties.get("openslide.icc-size")) <= _MAX_ICC_BYTES:
        return b""
    try:
        profile = slide.color_profile
    except ImageCms.PyCMSError:
        return b""
    return b"" if profile is None else profile.tobytes()


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
