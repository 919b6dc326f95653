"""The directories of a TIFF, counted before tifffile reads them.

tifffile makes an object of every page and a tuple of every tag's values: a small file that claims a hundred
thousand pages costs it gigabytes. This walk reads the same chain in a fraction of the time and memory, and
judges nothing else: what is wrong with a file otherwise is for tifffile to say.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.file import SlideBytes

MAX_PAGES = 4000
MAX_TAGS = 1000
MAX_VALUES = 4 * 10**6
"""Of one tag: tiles of a slide 500,000 px wide and high."""
MAX_TEXT = 64 * 2**20
"""Bytes of one tag of text or bytes."""

_SUBIFDS, _NDPI = 330, 65420
_TEXT_TYPES = {1, 2, 6, 7}
_SIZES = {3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 8, 10: 8, 12: 8, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How numbers of directories are written: entries in one, one entry, an offset."""

    n_tags: str
    entry: str
    offset: str
    first: int

    @classmethod
    def of(cls, head: bytes) -> _Kind:
        order = "<" if head[:2] == b"II" else ">"
        if head[2:4] in (b"+\0", b"\0+"):
            return cls(f"{order}Q", f"{order}HHQ8s", f"{order}Q", 8)
        return cls(f"{order}H", f"{order}HHI4s", f"{order}I", 4)


def check_directories(file: SlideBytes) -> None:
    """Refuse a TIFF with too many pages, or with a tag of too many values.

    Raises
    ------
    SlideError
        It has; the message names the number.
    """
    head = file.read(0, min(16, file.size))
    if len(head) < 16:
        return
    kind = _Kind.of(head)
    waiting = [struct.unpack_from(kind.offset, head, kind.first)[0]]
    seen: set[int] = set()
    while waiting:
        at = waiting.pop()
        if not at or at in seen or at + 8 > file.size:
            continue
        seen.add(at)
        if len(seen) > MAX_PAGES:
            raise SlideError(
                f"{file.path}: the TIFF has more than {MAX_PAGES} pages; expected the few levels of a slide, "
                "export the slide again, a file for each."
            )
        waiting += _read_directory(file, kind, at)


def _read_directory(file: SlideBytes, kind: _Kind, at: int) -> list[int]:
    """Check one directory; where those it leads to lie."""
    size, entry = struct.calcsize(kind.n_tags), struct.calcsize(kind.entry)
    n_tags = struct.unpack(kind.n_tags, file.read(at, size))[0]
    if n_tags > MAX_TAGS:
        raise SlideError(
            f"{file.path}: a page of the TIFF has {n_tags} tags, expected some dozens: the file is damaged; "
            "copy it again from the scanner or archive."
        )
    begin, end = at + size, at + size + n_tags * entry
    tail = 8 if kind.first == 8 else 4
    if end + tail > file.size:
        return []
    content = file.read(begin, end - begin)
    tags = list(struct.iter_unpack(kind.entry, content))
    further: list[int] = []
    for code, value_type, count, value in tags:
        _check_count(file, code, value_type, count)
        if code == _SUBIFDS:
            further += _offsets(file, kind, count, value)
    further.append(_next(file, kind, end, is_ndpi=any(tag[0] == _NDPI for tag in tags)))
    return further


def _next(file: SlideBytes, kind: _Kind, end: int, *, is_ndpi: bool) -> int:
    """Where the directory after the one that ends at ``end`` lies."""
    form, size = kind.offset, struct.calcsize(kind.offset)
    if is_ndpi and size == 4 and end + 8 <= file.size:
        # Hamamatsu writes eight bytes where four are usual; others that bear its tag do not
        wide: int = struct.unpack(f"{form[0]}Q", file.read(end, 8))[0]
        if wide < file.size:
            return wide
    narrow: int = struct.unpack(form, file.read(end, size))[0]
    return narrow


def _check_count(file: SlideBytes, code: int, value_type: int, count: int) -> None:
    text = value_type in _TEXT_TYPES
    if count > (MAX_TEXT if text else MAX_VALUES) and count * _SIZES.get(value_type, 1) <= file.size:
        raise SlideError(
            f"{file.path}: tag {code} of the TIFF claims {count} values, expected at most "
            f"{MAX_TEXT if text else MAX_VALUES}; export the slide again."
        )


def _offsets(file: SlideBytes, kind: _Kind, count: int, value: bytes) -> list[int]:
    """Where the directories below a page lie."""
    one = struct.calcsize(kind.offset)
    n = min(count, MAX_PAGES + 1)
    if count * one > len(value):
        at = struct.unpack(kind.offset, value)[0]
        if at + n * one > file.size:
            return []
        value = file.read(at, n * one)
    return [each[0] for each in struct.iter_unpack(kind.offset, value[: n * one])]
