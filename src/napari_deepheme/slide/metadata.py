"""What a slide file says of itself, above all its µm/px and where that number comes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from napari_deepheme.slide.location import SlidePath

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

MPP_RANGE = (0.05, 5.0)
"""Plausible µm/px of a brightfield slide: beyond it the tag means something else."""

Spacing = tuple[tuple[float, float] | None, str]
"""µm/px (y, x), or None, and the name of the tag it came from."""

MISSING = "missing"

RESOLUTION_TAGS, PNG_DENSITY, JPEG_DENSITY = "TIFF resolution tags", "PNG pHYs chunk", "JFIF density"
_PRINT_TAGS = {RESOLUTION_TAGS, PNG_DENSITY, JPEG_DENSITY}
"""Tags that most programs fill with a print resolution (72 or 300 dpi): no claim about the specimen."""

_MICROMETRES = {
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "\\u00b5m": 1.0,
    "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4, "pm": 1e-6, "in": 25400.0, "inch": 25400.0,
}  # fmt: skip
_RESOLUTION_UNITS = {2: 25400.0, 3: 1e4, 4: 1e3, 5: 1.0}  # TIFF: inch, centimetre, millimetre, micrometre


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution stored in the file.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    downsample : tuple of float
        Level-0 pixels per pixel, (y, x), never rounded.
    """

    shape: tuple[int, int]
    downsample: tuple[float, float]


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """What is known of a slide without reading its pixels.

    Attributes
    ----------
    path : Path or RemotePath
        The file.
    format, vendor : str
        For a person, for example "Aperio SVS" and "Aperio"; the vendor may be empty.
    shape : tuple of int
        Rows and columns of level 0.
    levels : tuple of Level
        Resolutions the file holds, finest first.
    mpp : tuple of float or None
        µm per pixel of level 0, (y, x); None when it is not known.
    mpp_source : str
        Where ``mpp`` came from, or "missing".
    associated : tuple of str
        Names for :meth:`Slide.associated_image`.
    warnings : tuple of str
        Sentences worth showing to a person.
    objective : float or None
        Magnification of the objective; None when it is not known.
    icc : str
        Name of the ICC profile its colours are in, "" if it has none.
    """

    path: SlidePath
    format: str
    vendor: str
    shape: tuple[int, int]
    levels: tuple[Level, ...]
    mpp: tuple[float, float] | None
    mpp_source: str
    associated: tuple[str, ...]
    warnings: tuple[str, ...]
    objective: float | None = None
    icc: str = ""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A kind of TIFF: how tifffile names it, what people call it, and how it states its µm/px."""

    flag: str
    format: str
    vendor: str
    spacing: Callable[[TiffFile, TiffPage], Spacing]


def plausible(mpp: tuple[float, float]) -> bool:
    """Whether both numbers can be the µm/px of a slide."""
    return all(MPP_RANGE[0] <= value <= MPP_RANGE[1] for value in mpp)


def checked_spacing(spacing: Spacing) -> tuple[Spacing, tuple[str, ...]]:
    """Drop an implausible µm/px and say so in a sentence."""
    mpp, source = spacing
    if mpp is None or (source in _PRINT_TAGS and min(mpp) > MPP_RANGE[1]):
        return (None, MISSING), ()
    if not plausible(mpp):
        said = f"{mpp[0]:g}" if mpp[0] == mpp[1] else f"{mpp[0]:g} (y) and {mpp[1]:g} (x)"
        low, high = MPP_RANGE
        warning = f"The file's {source} gives {said} µm/px, outside {low:g} to {high:g}: it is not used"
        return (None, MISSING), (warning,)
    if max(mpp) > 1.1 * min(mpp):
        return spacing, (f"Pixels are not square: {mpp[0]:g} µm high and {mpp[1]:g} µm wide ({source})",)
    return spacing, ()


def turned(orientation: object) -> tuple[str, ...]:
    """Say in a sentence that tag 274 of TIFF or EXIF asks to turn the picture."""
    if orientation == 1:
        return ()
    return (f"Its orientation tag ({orientation}) asks to turn or mirror the picture; it is read as stored",)


def vendor_of(tiff: TiffFile) -> Vendor:
    """Find the kind of TIFF this is; the last entry of the table takes whatever is left."""
    return next(vendor for vendor in VENDORS if not vendor.flag or getattr(tiff, vendor.flag))


def aperio_spacing(description: str) -> Spacing:
    """From the ``MPP = `` field of an Aperio image description."""
    found = re.search(r"\bMPP\s*=\s*([0-9.eE+-]+)", description)
    value = positive(found.group(1)) if found else None
    return ((value, value), "Aperio MPP tag") if value is not None else (None, MISSING)


def ome_spacing(xml: str, shape: tuple[int, int]) -> Spacing:
    """From PhysicalSizeX and PhysicalSizeY of the OME image that has ``shape``, else of the first."""
    pixels = list(_elements(xml, "Pixels"))
    same = [p for p in pixels if (p.get("SizeY"), p.get("SizeX")) == (str(shape[0]), str(shape[1]))]
    for element in (same or pixels)[:1]:
        sizes = [_ome_size(element, axis) for axis in "YX"]
        known = [size for size in sizes if size is not None]
        if known:
            y, x = (size if size is not None else known[0] for size in sizes)
            return (y, x), "OME-XML PhysicalSize"
    return None, MISSING


def leica_spacing(xml: str, shape: tuple[int, int]) -> Spacing:
    """From the SCN image whose pixels have ``shape``: its view in nm over its pixels."""
    for image in _elements(xml, "image"):
        parts = {child.tag.rpartition("}")[2]: child for child in image}
        pixels, view = parts.get("pixels"), parts.get("view")
        if pixels is None or view is None:
            continue
        if (pixels.get("sizeY"), pixels.get("sizeX")) != (str(shape[0]), str(shape[1])):
            continue
        y, x = (positive(view.get(f"size{axis}")) for axis in "YX")
        if y is not None and x is not None:
            return (y / 1000 / shape[0], x / 1000 / shape[1]), "Leica SCN view size"
    return None, MISSING


def ventana_spacing(xmp: str) -> Spacing:
    """From the ScanRes attribute of Ventana's iScan element."""
    found = re.search(r"""\bScanRes\s*=\s*["']([^"']+)""", xmp)
    value = positive(found.group(1)) if found else None
    return ((value, value), "Ventana ScanRes") if value is not None else (None, MISSING)


def philips_spacing(xml: str) -> Spacing:
    """From the first DICOM_PIXEL_SPACING (mm, row then column) of a pixel data representation."""
    for element in _elements(xml, "DataObject"):
        if element.get("ObjectType") != "PixelDataRepresentation":
            continue
        for attribute in element.findall("Attribute[@Name='DICOM_PIXEL_SPACING']"):
            values = [positive(text) for text in (attribute.text or "").replace('"', " ").split()]
            if len(values) == 2 and values[0] is not None and values[1] is not None:
                return (1000 * values[0], 1000 * values[1]), "Philips DICOM_PIXEL_SPACING"
    return None, MISSING


def qptiff_spacing(xml: str) -> Spacing:
    """From PixelSizeMicrons in the scan profile of a PerkinElmer/Akoya QPTIFF."""
    found = re.search(r"<PixelSizeMicrons>\s*([0-9.eE+-]+)", xml)
    value = positive(found.group(1)) if found else None
    return ((value, value), "QPTIFF PixelSizeMicrons") if value is not None else (None, MISSING)


def resolution_spacing(page: TiffPage, unit_um: float | None = None) -> Spacing:
    """From the resolution tags of a page; ``unit_um`` is their unit where the tags leave it open."""
    unit = unit_um or _RESOLUTION_UNITS.get(int(page.tags.valueof("ResolutionUnit", 1)))
    y, x = (_rational(page.tags.valueof(f"{axis}Resolution", None)) for axis in "YX")
    if unit is None or y is None or x is None:
        return None, MISSING
    return (unit / y, unit / x), RESOLUTION_TAGS


def _aperio(tiff: TiffFile, page: TiffPage) -> Spacing:
    return _first(aperio_spacing(tiff.pages.first.description), resolution_spacing(page))


def _ome(tiff: TiffFile, page: TiffPage) -> Spacing:
    return ome_spacing(tiff.ome_metadata or "", (page.imagelength, page.imagewidth))


def _hamamatsu(_tiff: TiffFile, page: TiffPage) -> Spacing:
    mpp, _ = resolution_spacing(page)
    return (mpp, "Hamamatsu resolution tags") if mpp else (None, MISSING)


def _leica(tiff: TiffFile, page: TiffPage) -> Spacing:
    shape = (page.imagelength, page.imagewidth)
    return _first(leica_spacing(tiff.pages.first.description, shape), resolution_spacing(page))


def ventana_xmp(tiff: TiffFile, page: TiffPage) -> str:
    """XMP of the page that tells of the scan, "" if none does."""
    for each in (page, *tiff.pages):
        xmp = each.tags.valueof(700, b"")
        text = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp)
        if "ScanRes" in text:
            return text
    return ""


def _ventana(tiff: TiffFile, page: TiffPage) -> Spacing:
    return ventana_spacing(ventana_xmp(tiff, page))


def _philips(tiff: TiffFile, _page: TiffPage) -> Spacing:
    return philips_spacing(tiff.philips_metadata or "")


def _qptiff(_tiff: TiffFile, page: TiffPage) -> Spacing:
    return _first(resolution_spacing(page), qptiff_spacing(page.description))


def _imagej(tiff: TiffFile, page: TiffPage) -> Spacing:
    unit = str((tiff.imagej_metadata or {}).get("unit", ""))
    mpp, _ = resolution_spacing(page, _MICROMETRES.get(unit.lower() if unit.isascii() else unit))
    return (mpp, "ImageJ resolution and unit") if mpp else (None, MISSING)


def _tags(_tiff: TiffFile, page: TiffPage) -> Spacing:
    return resolution_spacing(page)


VENDORS = (
    Vendor("is_svs", "Aperio SVS", "Aperio", _aperio),
    Vendor("is_ndpi", "Hamamatsu NDPI", "Hamamatsu", _hamamatsu),
    Vendor("is_scn", "Leica SCN", "Leica", _leica),
    Vendor("is_bif", "Ventana BIF", "Ventana", _ventana),
    Vendor("is_philips", "Philips TIFF", "Philips", _philips),
    Vendor("is_qpi", "PerkinElmer QPTIFF", "PerkinElmer", _qptiff),
    Vendor("is_ome", "OME-TIFF", "", _ome),
    Vendor("is_imagej", "ImageJ TIFF", "", _imagej),
    Vendor("", "TIFF", "", _tags),
)


def _first(*spacings: Spacing) -> Spacing:
    return next((spacing for spacing in spacings if spacing[0] is not None), (None, MISSING))


def _elements(xml: str, tag: str) -> Iterator[ElementTree.Element]:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return iter(())
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == tag)


def _ome_size(pixels: ElementTree.Element, axis: str) -> float | None:
    size = positive(pixels.get(f"PhysicalSize{axis}"))
    unit = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return size * unit if size is not None and unit is not None else None


def positive(text: str | None) -> float | None:
    """Read a positive number, or None for anything else a scanner may have written (a 0 is unknown)."""
    try:
        value = float((text or "").strip())
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _rational(value: object) -> float | None:
    if not isinstance(value, tuple) or len(value) != 2 or not value[0] or not value[1]:
        return None
    return float(value[0]) / float(value[1])
