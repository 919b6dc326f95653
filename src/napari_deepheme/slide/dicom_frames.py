"""Where a DICOM file says that its frames lie: a wrong place makes OpenSlide end the process."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

_PIXEL_DATA = (b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff", b"\xe0\x7f\x10\x00OW\x00\x00\xff\xff\xff\xff")
_ITEM = b"\xfe\xff\x00\xe0"


def frames_fault(path: Path) -> str:
    """Say which frame of a regular file is not where its basic offset table says (PS3.5, A.4), or nothing."""
    with path.open("rb") as file:
        if path.stat().st_size < 132:
            return ""
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = max(data.find(start) for start in _PIXEL_DATA)
            return _fault(data, at + 12) if at >= 0 else ""


def _fault(data: mmap.mmap, at: int) -> str:
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    first = at + 8 + length
    if data[at : at + 4] != _ITEM or length % 4 or first > len(data):
        return "its table of frames is damaged or cut short"
    for number, offset in enumerate(np.frombuffer(data[at + 8 : first], "<u4").tolist()):
        place = first + offset
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if data[place : place + 4] != _ITEM or place + 8 + size > len(data):
            return f"its frame {number + 1} is not where its table says, or is cut short"
    return ""
