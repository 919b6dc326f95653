"""What OME-XML may make the reader of a TIFF do: open other files, and make room for planes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tifffile import TiffFile

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.location import RemotePath, SlidePath

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_PLANES = 10**5


def check_ome(path: SlidePath, tiff: TiffFile) -> None:
    """Refuse OME-XML that names files other than TIFFs beside this one, or more planes than can be.

    tifffile opens whatever ``<UUID FileName="…">`` says, and makes a place for every plane.

    Raises
    ------
    SlideError
        It does.
    """
    xml = tiff.ome_metadata if tiff.is_ome else None
    if not xml:
        return
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return  # tifffile cannot read it either
    for element in root.iter():
        kind = element.tag.rpartition("}")[2]
        if kind == "UUID":
            _check_name(path, element.get("FileName") or "")
        elif kind == "Pixels":
            _check_planes(path, element)


def _check_name(path: SlidePath, name: str) -> None:
    if not name or name == path.name:
        return
    if isinstance(path, RemotePath):
        raise SlideError(
            f"{path}: its OME-XML names another file, {name[:200]!r}; a slide elsewhere must be one file, "
            "download all of them."
        )
    beside = path.parent / name
    # a file of an old name, or one left behind, is missing: tifffile does without
    if (
        Path(name).name == name
        and "\\" not in name
        and "\0" not in name
        and (not beside.exists() or _is_tiff(beside))
    ):
        return
    raise SlideError(
        f"{path}: its OME-XML names the file {name[:200]!r}, which is no TIFF beside it; "
        "export the slide again as one file."
    )


def _is_tiff(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in TIFF_MAGIC


def _check_planes(path: SlidePath, pixels: ElementTree.Element) -> None:
    planes = 1
    for axis in "CZT":
        size = pixels.get(f"Size{axis}") or "1"
        planes *= int(size) if size.isascii() and size.isdigit() and len(size) < 10 else 1
    if planes > _MAX_PLANES:
        raise SlideError(
            f"{path}: its OME-XML claims {planes} planes, expected at most {_MAX_PLANES}; "
            "export the slide again."
        )
