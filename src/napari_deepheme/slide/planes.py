"""Planes of pixels that are read a window at a time, and the cache of decoded blocks they share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.errors import DamagedTileError
from napari_deepheme.slide.forks import renew_in_child
from napari_deepheme.slide.metadata import Spacing

Pixels = NDArray[np.uint8]
"""RGB pixels, uint8, shape (h, w, 3)."""

Key = tuple[str, int, int]

WHITE = 255
"""What an absent tile shows: the scanner left it out because it held nothing but glass."""
GREY = 128
"""What a tile shows of which nothing can be decoded."""


class Damaged(StrEnum):
    """What a read does when it meets a damaged tile."""

    RAISE = "raise"
    SHOW = "show"


_DISPLAY_SIDE, _DISPLAY_LONG_SIDE = 1024, 4096


class BlockCache:
    """Least recently used decoded blocks, bounded in bytes, safe to share between threads.

    A block that one thread is already making is waited for rather than made twice.
    """

    def __init__(self, max_bytes: int = 64 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._blocks: OrderedDict[Key, Pixels] = OrderedDict()
        self._pending: dict[Key, Future[Pixels]] = {}
        self._lock = threading.Lock()
        renew_in_child(self)

    def renew(self) -> None:
        """Start afresh in a child process: what other threads were making will never come there."""
        self._lock = threading.Lock()
        self._pending = {}
        self.clear()

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def get(self, key: Key, make: Callable[[], Pixels]) -> Pixels:
        """Return the block under ``key``, made by ``make`` if it is not held."""
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
                return block
            waiting = self._pending.get(key)
            if waiting is None:
                mine: Future[Pixels] = Future()
                self._pending[key] = mine
        if waiting is not None:
            return waiting.result()
        return self._make(key, make, mine)

    def clear(self) -> None:
        """Forget every block."""
        with self._lock:
            self._blocks.clear()
            self._bytes = 0

    def _make(self, key: Key, make: Callable[[], Pixels], mine: Future[Pixels]) -> Pixels:
        try:
            block = make()
        except BaseException as err:
            with self._lock:
                del self._pending[key]
            mine.set_exception(err)
            raise
        with self._lock:
            del self._pending[key]
            self._blocks[key] = block
            self._bytes += block.nbytes
            while self._bytes > self._max_bytes and len(self._blocks) > 1:
                self._bytes -= self._blocks.popitem(last=False)[1].nbytes
        mine.set_result(block)
        return block


class Plane(Protocol):
    """One resolution of a slide."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of the pieces it is stored or computed in."""

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the pixels of a half-open window that lies inside the plane, damaged ones as they are."""

    def damage(self, top: int, left: int, bottom: int, right: int) -> str:
        """Say which tile of a window that was read is damaged and how, in a sentence, or nothing."""


def _nothing() -> None:
    """Close a source that has no open file."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An opened file: its planes, finest first, and what it says of itself.

    Attributes
    ----------
    format, vendor : str
        As in :class:`SlideInfo`.
    planes : tuple of Plane
        Resolutions the file holds.
    spacing : Spacing
        µm/px as the file states it, not yet judged.
    associated : dict
        Planes of the label, macro, thumbnail … under their names.
    warnings : tuple of str
        Sentences worth showing to a person.
    close : callable
        Closes the file; may be called twice.
    objective : float or None
        Magnification of the objective.
    icc : bytes
        ICC profile of the planes' colours, as it stands in the file; empty if there is none.
    """

    format: str
    vendor: str
    planes: tuple[Plane, ...]
    spacing: Spacing
    associated: dict[str, Plane] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    close: Callable[[], None] = _nothing
    objective: float | None = None
    icc: bytes = b""


class ArrayPlane:
    """A plane that is wholly in memory (a field of view)."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self.shape: tuple[int, int] = (pixels.shape[0], pixels.shape[1])
        self.block = (512, 512)

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the pixels of a half-open window that lies inside the plane."""
        return self._pixels[top:bottom, left:right]

    def damage(self, top: int, left: int, bottom: int, right: int) -> str:
        """Say nothing: a damaged picture is refused when it is opened."""
        del top, left, bottom, right
        return ""


class HalvedPlane:
    """Half the resolution of another plane, averaged 2 × 2, a block at a time when it is asked for.

    Blocks take the shape of the parent's: strips stay whole rows, so that reading down a strip-wise
    image decodes each strip once.
    """

    def __init__(self, parent: Plane, cache: BlockCache, name: str) -> None:
        self._parent, self._cache, self._name = parent, cache, name
        height, width = parent.shape
        self.shape = (-(-height // 2), -(-width // 2))
        self.block = _block_shape(parent, self.shape)

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the pixels of a half-open window that lies inside the plane."""
        return assemble((top, left, bottom, right), self.block, self._get)

    def damage(self, top: int, left: int, bottom: int, right: int) -> str:
        """Say which tile of the parent's is damaged below a window that was read, or nothing."""
        height, width = self._parent.shape
        return self._parent.damage(2 * top, 2 * left, min(height, 2 * bottom), min(width, 2 * right))

    def _get(self, row: int, column: int) -> Pixels:
        return self._cache.get((self._name, row, column), lambda: self._halve(row, column))

    def _halve(self, row: int, column: int) -> Pixels:
        height, width = self._parent.shape
        top, left = 2 * row * self.block[0], 2 * column * self.block[1]
        bottom, right = min(height, top + 2 * self.block[0]), min(width, left + 2 * self.block[1])
        return halve(self._parent.read(top, left, bottom, right))


def with_coarser(
    planes: tuple[Plane, ...], downsamples: list[tuple[float, float]], cache: BlockCache
) -> tuple[list[Plane], list[tuple[float, float]]]:
    """Return the file's planes, then halved ones until the whole slide is small enough to draw."""
    result, downsamples = list(planes), list(downsamples)
    while min(result[-1].shape) > _DISPLAY_SIDE or max(result[-1].shape) > _DISPLAY_LONG_SIDE:
        y, x = downsamples[-1]
        result.append(HalvedPlane(result[-1], cache, f"halved {len(result)}"))
        downsamples.append((2 * y, 2 * x))
    return result, downsamples


def _block_shape(parent: Plane, shape: tuple[int, int]) -> tuple[int, int]:
    if parent.block[1] < parent.shape[1]:
        return (512, 512)
    rows = max(16, 2**20 // max(1, 3 * shape[1]))  # whole rows, about 1 MB
    return (rows, shape[1])


def halve(pixels: Pixels) -> Pixels:
    """Average 2 × 2; an odd last row or column is repeated."""
    odd = pixels.shape[0] % 2, pixels.shape[1] % 2
    if any(odd):
        pixels = np.pad(pixels, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
    total = np.full((pixels.shape[0] // 2, pixels.shape[1] // 2, 3), 2, np.uint16)
    for row in (0, 1):
        for column in (0, 1):
            total += pixels[row::2, column::2]
    return (total >> 2).astype(np.uint8)


def assemble(
    window: tuple[int, int, int, int], block: tuple[int, int], get: Callable[[int, int], Pixels]
) -> Pixels:
    """Put the blocks that cover a half-open window together; ``get(row, column)`` gives a block.

    A block may be smaller than ``block`` at the far edges; what no block covers stays white.
    """
    top, left, bottom, right = window
    out = np.full((bottom - top, right - left, 3), WHITE, np.uint8)
    for row, column in covering(window, block):
        pixels = get(row, column)
        y, x = row * block[0], column * block[1]
        source = pixels[max(0, top - y) : bottom - y, max(0, left - x) : right - x]
        y, x = max(y, top) - top, max(x, left) - left
        out[y : y + source.shape[0], x : x + source.shape[1]] = source
    return out


def covering(window: tuple[int, int, int, int], block: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Row and column of each block that a half-open window touches."""
    top, left, bottom, right = window
    for row in range(top // block[0], -(-bottom // block[0])):
        for column in range(left // block[1], -(-right // block[1])):
            yield row, column


def read_padded(plane: Plane, window: tuple[int, int, int, int], damaged: Damaged = Damaged.SHOW) -> Pixels:
    """Read a window that may leave the plane; beyond the edge the nearest pixel is repeated.

    Raises
    ------
    DamagedTileError
        A tile of it is damaged, unless such are to be shown.
    """
    top, left, bottom, right = window
    height, width = plane.shape
    y0, y1 = min(max(top, 0), height - 1), max(min(bottom, height), 1)
    x0, x1 = min(max(left, 0), width - 1), max(min(right, width), 1)
    inside = y0, x0, max(y1, y0 + 1), max(x1, x0 + 1)
    pixels = plane.read(*inside)
    if damaged is Damaged.RAISE:
        damage = plane.damage(*inside)
        if damage:
            raise DamagedTileError(damage)
    if (y0, x0, y1, x1) == window:
        return pixels
    before, after = (y0 - top, x0 - left), (bottom - y1, right - x1)
    if min(*before, *after) >= 0:
        return np.pad(pixels, (*zip(before, after, strict=True), (0, 0)), mode="edge")
    rows = np.clip(np.arange(top, bottom), 0, height - 1) - y0  # the window lies wholly outside
    columns = np.clip(np.arange(left, right), 0, width - 1) - x0
    outside: Pixels = pixels[rows][:, columns]
    return outside
