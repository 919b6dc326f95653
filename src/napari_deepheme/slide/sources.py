"""Which reader a file needs, told by its first bytes rather than by its name."""

from __future__ import annotations

from napari_deepheme.errors import SlideError
from napari_deepheme.files import open_regular
from napari_deepheme.slide.file import open_bytes
from napari_deepheme.slide.location import RemotePath, SlidePath
from napari_deepheme.slide.ome import TIFF_MAGIC
from napari_deepheme.slide.picture import open_picture, picture_kind
from napari_deepheme.slide.planes import BlockCache, Source
from napari_deepheme.slide.tiff import open_tiff

SUPPORTED = (
    "Aperio SVS, Hamamatsu NDPI, Leica SCN, Ventana BIF, Philips TIFF, QPTIFF, OME-TIFF, TIFF, PNG, JPEG, "
    "JPEG 2000, WebP or BMP"
)


def open_source(path: SlidePath, cache: BlockCache) -> Source:
    """Open a file with the reader its first bytes ask for.

    Raises
    ------
    SlideError
        The file is missing, damaged or of a kind that is not supported.
    """
    if isinstance(path, RemotePath):
        return _open_remote(path, cache)
    if path.is_dir():
        raise SlideError(f"{path}: this is a folder; give one file: {SUPPORTED} (not DICOM).")
    try:
        with open_regular(path) as file:
            head = file.read(132)
    except (OSError, ValueError) as err:
        raise SlideError(
            f"{path}: cannot be read ({getattr(err, 'strerror', None) or err}); check the path."
        ) from err
    if head.startswith(TIFF_MAGIC):
        return open_tiff(path, cache)
    if picture_kind(head):
        return open_picture(path)
    if not head:
        raise SlideError(f"{path}: the file is empty; copy it again from the scanner or archive.")
    kind = "a DICOM file, which is not supported" if head[128:] == b"DICM" else "not a slide or picture"
    raise SlideError(f"{path}: this is {kind}; expected {SUPPORTED}.")


def _open_remote(path: RemotePath, cache: BlockCache) -> Source:
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
        "another TIFF in one file; download it."
    )
