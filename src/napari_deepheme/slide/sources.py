"""Which reader a file or a folder needs, told by its content rather than by its name."""

from __future__ import annotations

from pathlib import Path

from napari_deepheme.errors import SlideError
from napari_deepheme.files import is_folder, open_regular
from napari_deepheme.slide.file import open_bytes
from napari_deepheme.slide.location import RemotePath, SlidePath
from napari_deepheme.slide.ome import TIFF_MAGIC
from napari_deepheme.slide.openslide_kinds import file_in, kind_of
from napari_deepheme.slide.openslide_source import open_with_openslide
from napari_deepheme.slide.picture import open_picture, picture_kind
from napari_deepheme.slide.planes import BlockCache, Source
from napari_deepheme.slide.tiff import open_tiff
from napari_deepheme.slide.zarr_source import is_zarr, open_zarr

SUPPORTED = (
    "Aperio SVS, Hamamatsu NDPI, Leica SCN, Ventana BIF, Philips TIFF, QPTIFF, OME-TIFF, TIFF, OME-Zarr, "
    "DICOM, MRXS, VMS, CZI, PNG, JPEG, JPEG 2000, WebP or BMP"
)
_HEAD = 132


def open_source(path: SlidePath, cache: BlockCache) -> Source:
    """Open a file, or the folder that is a slide, with the reader its content asks for.

    Raises
    ------
    SlideError
        It is missing, damaged or of a kind that is not supported.
    """
    if isinstance(path, RemotePath):
        return _open_remote(path, cache)
    if is_folder(path):
        return _open_folder(path, cache)
    head = _head(path)
    kind = kind_of(path, head)
    if kind is not None:
        return open_with_openslide(path, kind, cache)
    if head.startswith(TIFF_MAGIC):
        return open_tiff(path, cache)
    if picture_kind(head):
        return open_picture(path)
    if not head:
        raise SlideError(f"{path}: the file is empty; copy it again from the scanner or archive.")
    raise SlideError(f"{path}: this is not a slide or picture; expected {SUPPORTED}.")


def _open_folder(path: Path, cache: BlockCache) -> Source:
    if is_zarr(path):
        return open_zarr(path, cache)
    file = file_in(path)
    kind = None if file is None else kind_of(file, _head(file))
    if file is None or kind is None:
        raise SlideError(
            f"{path}: this folder is no OME-Zarr, holds no DICOM slide and belongs to no MRXS; "
            f"give one file: {SUPPORTED}."
        )
    return open_with_openslide(file, kind, cache)


def _head(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(_HEAD)
    except (OSError, ValueError) as err:
        raise SlideError(
            f"{path}: cannot be read ({getattr(err, 'strerror', None) or err}); check the path."
        ) from err


def _open_remote(path: RemotePath, cache: BlockCache) -> Source:
    if path.suffix.lower() == ".zarr":  # a folder has no content of its own to tell it by
        return open_zarr(path, cache)
    file = open_bytes(path)
    try:
        if file.read(0, min(file.size, 4)) in TIFF_MAGIC:
            return open_tiff(path, cache, file)
    except BaseException:
        file.close()
        raise
    file.close()
    raise SlideError(
        f"{path}: this is no TIFF; expected of a slide elsewhere Aperio SVS, Hamamatsu NDPI, OME-TIFF or "
        "another TIFF in one file, or an OME-Zarr whose name ends in .zarr; download it."
    )
