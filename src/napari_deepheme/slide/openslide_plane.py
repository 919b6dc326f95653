"""Planes that the OpenSlide library reads; imported only where such a slide is opened."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.forks import renew_in_child
from napari_deepheme.slide.planes import GREY, BlockCache, Pixels, assemble, covering
from napari_deepheme.slide.tiff_plane import COPY_AGAIN, short

FAULTS = (openslide.OpenSlideError, OSError, ValueError, MemoryError)
_BLOCK = 512
_HELD_BYTES = 32 * 2**20

_OF_THE_PARENT: list[openslide.OpenSlide | None] = []
"""Handles that a forked child has from its parent: a thread that is not there may hold their locks, so that
closing them could wait for ever."""


class Handle:
    """An OpenSlide handle that threads share, opened anew after a fault and in a forked child.

    OpenSlide gives nothing more once a read has failed. It closes itself when the last thread that reads
    through it lets it go: closing it under a reader would end the process.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FAULTS
        OpenSlide cannot open it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._closed = False
        self._lock = threading.Lock()
        self._slide: openslide.OpenSlide | None = _opened(path)
        renew_in_child(self)

    def renew(self) -> None:
        """Start afresh in a child process."""
        self._lock = threading.Lock()
        _OF_THE_PARENT.append(self._slide)
        self._slide = None

    def get(self) -> openslide.OpenSlide:
        """The handle, for one read.

        Raises
        ------
        SlideError
            The slide was closed.
        FAULTS
            It cannot be opened again.
        """
        with self._lock:
            if self._closed:
                raise SlideError(f"{self.path}: the slide was closed; open it again to read from it.")
            if self._slide is None:
                self._slide = _opened(self.path)
            return self._slide

    def drop(self, failed: openslide.OpenSlide) -> None:
        """Let a handle go that has failed."""
        with self._lock:
            if self._slide is failed:
                self._slide = None

    def close(self) -> None:
        """Let the handle go; may be called twice."""
        with self._lock:
            self._closed, self._slide = True, None


class OpenSlidePlane:
    """One resolution of a slide that OpenSlide reads.

    Parameters
    ----------
    handle : Handle
    level : int
    background : tuple of int
        RGB of what was not scanned.
    cache : BlockCache
    """

    def __init__(
        self, handle: Handle, level: int, background: tuple[int, int, int], cache: BlockCache
    ) -> None:
        slide = handle.get()
        width, height = slide.level_dimensions[level]
        self.shape: tuple[int, int] = (height, width)
        self.block = (_BLOCK, _BLOCK)
        self._handle, self._level, self._background, self._cache = handle, level, background, cache
        # by this number OpenSlide divides places, whatever the ratio of the sizes is
        self._downsample: float = slide.level_downsamples[level]
        self._damage: dict[tuple[int, int], str] = {}

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the pixels of a half-open window that lies inside the plane."""
        return assemble((top, left, bottom, right), self.block, self._get)

    def damage(self, top: int, left: int, bottom: int, right: int) -> str:
        """Say which block of a window that was read is damaged and how, in a sentence, or nothing."""
        for at in covering((top, left, bottom, right), self.block) if self._damage else ():
            if at in self._damage:
                which = f"block {at} of level {self._level}"
                return f"{self._handle.path}: {which} is damaged ({self._damage[at]}); {COPY_AGAIN}"
        return ""

    def _get(self, row: int, column: int) -> Pixels:
        key = (f"level {self._level}", row, column)
        return self._cache.get(key, lambda: self._block(row, column))

    def _block(self, row: int, column: int) -> Pixels:
        height, width = (
            min(_BLOCK, n - at * _BLOCK) for n, at in zip(self.shape, (row, column), strict=True)
        )
        slide = self._handle.get()
        place = (round(column * _BLOCK * self._downsample), round(row * _BLOCK * self._downsample))
        try:
            return on_background(slide.read_region(place, self._level, (width, height)), self._background)
        except FAULTS as err:
            self._handle.drop(slide)
            self._damage[row, column] = short(err)
            return np.full((height, width, 3), GREY, np.uint8)


class AssociatedPlane:
    """A label, macro or thumbnail, decoded when it is looked at."""

    def __init__(self, handle: Handle, name: str, shape: tuple[int, int]) -> None:
        self._handle, self._name, self.shape = handle, name, shape
        self.block = shape

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the pixels of a half-open window that lies inside the plane.

        Raises
        ------
        SlideError
            It is damaged.
        """
        slide = self._handle.get()
        try:
            pixels = on_background(slide.associated_images[self._name], (255, 255, 255))
        except (*FAULTS, KeyError) as err:
            self._handle.drop(slide)
            raise SlideError(
                f"{self._handle.path}: its {self._name} is damaged ({short(err)}); {COPY_AGAIN}"
            ) from err
        return pixels[top:bottom, left:right]

    def damage(self, top: int, left: int, bottom: int, right: int) -> str:
        """Say nothing: a damaged one is raised."""
        del top, left, bottom, right
        return ""


def on_background(image: Image.Image, background: tuple[int, int, int]) -> Pixels:
    """RGB of a picture that is transparent where nothing was scanned."""
    below = Image.new("RGBA", image.size, (*background, 255))
    return np.asarray(Image.alpha_composite(below, image.convert("RGBA")).convert("RGB"))


def _opened(path: Path) -> openslide.OpenSlide:
    slide = openslide.OpenSlide(path)
    slide.set_cache(openslide.OpenSlideCache(_HELD_BYTES))
    return slide
