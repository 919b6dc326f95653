"""What a TIFF's metadata may make tifffile do: open other files, make room for planes, parse for ever."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tifffile import TiffFile

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.location import RemotePath, SlidePath

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_PLANES = 10**5
_MAX_XML_TAGS = 10**6
"""Ten for each plane."""


def check_metadata(path: SlidePath, tiff: TiffFile) -> None:
    """Refuse metadata that would have tifffile open other files or take memory and time without bound.

    It opens whatever ``<UUID FileName="…">`` of OME-XML and the index of an NDTiff say, and makes a place
    for every plane that they or a Micro-Manager stack claim.

    Raises
    ------
    SlideError
        They do: OME-XML names no TIFF beside this one, or has more planes or tags than can be; or
        Micro-Manager wrote it.
    """
    if tiff.is_micromanager:
        raise SlideError(
            f"{path}: this is a data set of Micro-Manager, expected a slide or a picture; "
            "save each field of it as an RGB TIFF (ImageJ: File > Save As > Tiff)."
        )
    # each vendor's XML is the description of the first page
    n_tags = tiff.pages.first.description.count("<") if len(tiff.pages) else 0
    if n_tags > _MAX_XML_TAGS:
        raise SlideError(
            f"{path}: the description of its first page has {n_tags} XML tags, expected at most "
            f"{_MAX_XML_TAGS}; export the slide again."
        )
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
