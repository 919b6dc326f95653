"""Kinds of slides that are left to OpenSlide, told by their content, and what they may make it open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_deepheme.errors import SlideError
from napari_deepheme.files import open_regular, read_bounded
from napari_deepheme.slide.dicom_frames import frames_fault

_MAX_INI = 4 * 2**20
_MAX_BESIDE = 4000
_HEAD = 2**16
_SERIES = re.compile(rb"\x20\x00\x0e\x00UI..([0-9.]+)", re.DOTALL)
_NAMES = re.compile(
    rb"^[ \t]*(?:FILE_\d+|INDEXFILE|ImageFile[^=\r\n]*|MapFile|MacroImage|OptimisationFile)[ \t]*=([^\r\n]*)",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of slide: its names, how its content begins, and what its µm/px is called."""

    format: str
    vendor: str
    spacing: str
    magic: re.Pattern[bytes]


DICOM = Kind("DICOM", "", "DICOM PixelSpacing", re.compile(rb".{128}DICM", re.DOTALL))
MRXS = Kind("3DHISTECH MRXS", "3DHISTECH", "MRXS MICROMETER_PER_PIXEL", re.compile(rb"\xff\xd8\xff"))
VMS = Kind(
    "Hamamatsu VMS", "Hamamatsu", "VMS physical size", re.compile(rb"\s*\[Virtual Microscope Specimen\]")
)
CZI = Kind("Zeiss CZI", "Zeiss", "CZI scaling", re.compile(rb"ZISRAWFILE"))


def kind_of(path: Path, head: bytes) -> Kind | None:
    """Tell which kind a file is that begins like this, or none.

    An MRXS is a small JPEG whose slide lies in the folder of the same name beside it.
    """
    if MRXS.magic.match(head):
        return MRXS if (path.with_suffix("") / "Slidedat.ini").exists() and path.suffix else None
    return next((kind for kind in (DICOM, VMS, CZI) if kind.magic.match(head)), None)


def file_in(folder: Path) -> Path | None:
    """Find the file by which OpenSlide opens a slide that is a folder: of DICOM files or of an MRXS.

    Raises
    ------
    SlideError
        It holds DICOM files of several series.
    """
    if (folder / "Slidedat.ini").exists():
        mrxs = folder.with_name(f"{folder.name}.mrxs")
        return mrxs if mrxs.is_file() else None
    series: dict[bytes, Path] = {}
    for path in _beside(folder):
        head = _head(path)
        if DICOM.magic.match(head):
            found = _SERIES.search(head)
            series.setdefault(found.group(1) if found else b"", path)
    if len(series) > 1:
        raise SlideError(
            f"{folder}: the folder holds DICOM files of {len(series)} series; give one file of the series, "
            f"for example {next(iter(series.values())).name}."
        )
    return next(iter(series.values()), None)


def check_parts(path: Path, kind: Kind) -> None:
    """Refuse a slide that would make OpenSlide open anything but regular files of its own.

    Raises
    ------
    SlideError
        It would.
    """
    if kind is DICOM:
        for each in _beside(path.parent):
            fault = frames_fault(each) if DICOM.magic.match(_head(each)) else ""
            if fault:
                raise SlideError(f"{each}: the DICOM is damaged ({fault}); copy it again from its archive.")
    elif kind is MRXS:
        _check_ini(path, path.with_suffix("") / "Slidedat.ini")
    elif kind is VMS:
        _check_ini(path, path)


def _beside(folder: Path) -> Iterator[Path]:
    """Files of a folder, in the order of their names; OpenSlide opens whatever lies beside a DICOM file."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as err:
        raise SlideError(f"{folder}: cannot be read ({err.strerror or err}); check the path.") from err
    if len(paths) > _MAX_BESIDE:
        raise SlideError(
            f"{folder}: the folder holds {len(paths)} files, expected at most {_MAX_BESIDE} of a slide; "
            "put the slide's files into a folder of their own."
        )
    for path in paths:
        if path.is_file():
            yield path
        elif path.exists() and not path.is_dir():
            raise SlideError(
                f"{folder}: {path.name[:200]!r} in it is no regular file; "
                "put the slide's files into a folder of their own."
            )


def _head(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(_HEAD)
    except OSError:
        return b""  # what cannot be read is none of the slide's


def _check_ini(path: Path, ini: Path) -> None:
    try:
        text = read_bounded(ini, _MAX_INI)
    except OSError as err:
        raise SlideError(f"{path}: its {ini.name} cannot be read ({err.strerror or err}).") from err
    for found in _NAMES.finditer(text):
        name = found.group(1).strip().decode("utf-8", "replace")
        beside = ini.parent / name
        if name in {"", "."} or (
            Path(name).name == name
            and not {"\\", "\0"} & set(name)
            and (not beside.exists() or beside.is_file())
        ):
            continue
        raise SlideError(
            f"{path}: its {ini.name} names the file {name[:200]!r}, which is none beside it; "
            "copy the slide again with all of its files."
        )
