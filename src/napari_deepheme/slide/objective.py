"""The magnification of the objective, as each kind of TIFF states it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_deepheme.slide.metadata import positive, ventana_xmp

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_PATTERNS = {
    "is_svs": r"\bAppMag\s*=\s*([0-9.]+)",
    "is_scn": r"<(?:\w+:)?objective>\s*([0-9.]+)",
    "is_bif": r"""\bMagnification\s*=\s*["']([0-9.]+)""",
    "is_qpi": r"<Objective>\s*([0-9.]+)\s*[xX]?\s*<",
    "is_ome": r"""\bNominalMagnification\s*=\s*["']([0-9.]+)""",
}
_NDPI_SOURCE_LENS = 65421


def objective_of(flag: str, tiff: TiffFile, page: TiffPage) -> float | None:
    """Read it from the text, or the tag, of a kind of TIFF (named as tifffile names it); None if unsaid."""
    if flag == "is_ndpi":
        value = page.tags.valueof(_NDPI_SOURCE_LENS, None)
        return positive(str(value)) if isinstance(value, float | int) else None
    if flag not in _PATTERNS:
        return None
    found = re.search(_PATTERNS[flag], _text(flag, tiff, page))
    return positive(found.group(1)) if found else None


def _text(flag: str, tiff: TiffFile, page: TiffPage) -> str:
    if flag == "is_ome":
        return tiff.ome_metadata or ""
    if flag == "is_bif":
        return ventana_xmp(tiff, page)
    return str((page if flag == "is_qpi" else tiff.pages.first).description)
