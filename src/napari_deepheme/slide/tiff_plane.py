"""One page of a TIFF, read tile by tile or strip by strip."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np
from tifffile import TiffFrame, TiffPage, TiffPageSeries

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.file import SlideBytes, open_bytes
from napari_deepheme.slide.jpeg import Decoded
from napari_deepheme.slide.location import RemotePath, SlidePath
from napari_deepheme.slide.planes import GREY, WHITE, BlockCache, Pixels, assemble, covering
from napari_deepheme.slide.segments import FAULTS, SegmentDecoder

MAX_SEGMENT_BYTES = 384 * 2**20
"""A strip or tile that decodes to more than this is refused."""
COPY_AGAIN = "copy it again from the scanner or archive."

_MIN_TILE = 8
_MAX_TRIED_PIXELS = 2**24


class Files:
    """The file of a slide and those beside it that hold planes of it.

    Attributes
    ----------
    path : Path or RemotePath
    main : SlideBytes
        The slide's own.
    """

    def __init__(self, path: SlidePath, main: SlideBytes | None = None) -> None:
        self.path = path
        self.main = open_bytes(path) if main is None else main
        self._beside: dict[Path, SlideBytes] = {}

    def of(self, page: TiffPage | TiffFrame) -> SlideBytes:
        """Give the open file that holds a page; a slide elsewhere is a single file."""
        path = Path(page.parent.filehandle.path)
        if isinstance(self.path, RemotePath) or path == self.path:
            return self.main
        if path not in self._beside:
            self._beside[path] = open_bytes(path)
        return self._beside[path]

    def close(self) -> None:
        """Close all of them."""
        for file in (self.main, *self._beside.values()):
            file.close()


class TiffPlane:
    """One resolution of a TIFF.

    All that its tags say is taken when it is made; from then on it reads through a file of its own.

    Parameters
    ----------
    files : Files
    series : TiffPageSeries
        Whose first page holds the pixels.
    cache : BlockCache
    name : str
        For messages and the cache.

    Raises
    ------
    SlideError
        It has no pixels, is cut short, of an unsupported compression, or one strip fills the memory.
    """

    def __init__(self, files: Files, series: TiffPageSeries, cache: BlockCache, name: str) -> None:
        page, key = series.pages[0], series.keyframe
        self._path, self._name, self._cache = files.of(key).path, name, cache
        if page is None:
            raise SlideError(f"{self._path}: {name} has no pixels in this file; {COPY_AGAIN}")
        self._file = files.of(page)
        self.shape: tuple[int, int] = (operator.index(key.imagelength), operator.index(key.imagewidth))
        self._samples = operator.index(key.samplesperpixel)
        self._planar = key.planarconfig == 2 and self._samples > 1
        self._counts_down = int(key.photometric) == 0  # grey of kind 0 counts from white down
        self._raw = not (key.is_tiled or self._planar) and key.compression == 1 and _is_one_run(key)
        self._is_tiled = bool(key.is_tiled)
        self.block = self._block_shape(key)
        self._across, self._down = (
            -(-n // step) for n, step in zip(self.shape[::-1], self.block[::-1], strict=True)
        )
        self._offsets = np.asarray(page.dataoffsets, np.int64)
        self._counts = np.asarray(page.databytecounts, np.int64)
        self._damage: dict[tuple[int, int], str] = {}
        self._check_segments()
        try:
            self._decoder = SegmentDecoder(key)
        except ValueError as err:
            raise SlideError(
                f"{self._path}: {name} cannot be decoded ({err}); "
                "export the slide with JPEG or deflate compression."
            ) from err

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the pixels of a half-open window that lies inside the plane, damaged ones as they are."""
        return assemble((top, left, bottom, right), self.block, self._get)

    def damage(self, top: int, left: int, bottom: int, right: int) -> str:
        """Say which tile of a window that was read is damaged and how, in a sentence, or nothing."""
        if self._damage:
            for at in covering((top, left, bottom, right), self.block):
                if at in self._damage:
                    which = f"{'tile' if self._is_tiled else 'strip'} {at} of {self._name}"
                    return f"{self._path}: {which} is damaged ({self._damage[at]}); {COPY_AGAIN}"
        return ""

    def check_readable(self) -> None:
        """Decode a tile, and another two if it is damaged: when nothing at all comes out, refuse the file.

        Raises
        ------
        SlideError
            It does.
        """
        if self.block[0] * self.block[1] > _MAX_TRIED_PIXELS:
            return
        held = np.flatnonzero(self._counts[: self._across * self._down] > 0)
        for index in held[[0, len(held) // 2, -1]] if len(held) else []:
            row, column = divmod(int(index), self._across)
            self._get(row, column)
            if (row, column) not in self._damage:
                return
        if len(held):
            raise SlideError(
                f"{self._path}: none of its tiles can be decoded ({next(iter(self._damage.values()))}): "
                f"the file is damaged or its compression is not supported; {COPY_AGAIN}"
            )

    def _block_shape(self, key: TiffPage) -> tuple[int, int]:
        height, width = self.shape
        if key.is_tiled:
            block = operator.index(key.tilelength), operator.index(key.tilewidth)
            if min(block) < _MIN_TILE:
                raise SlideError(
                    f"{self._path}: {self._name} has tiles of {block[1]} × {block[0]} px, expected at least "
                    f"{_MIN_TILE}; {COPY_AGAIN}"
                )
            return block
        if self._raw:
            return min(height, max(1, 2**20 // (width * self._samples))), width
        return min(height, operator.index(key.rowsperstrip) or height), width

    def _check_segments(self) -> None:
        """Refuse, before anything is decoded, a file that was cut short or that has one huge strip."""
        offsets, counts, size = self._offsets, self._counts, self._file.size
        if self._raw:
            counts = np.array([self.shape[0] * self.shape[1] * self._samples])
        elif len(offsets) < self._across * self._down * (self._samples if self._planar else 1):
            raise SlideError(f"{self._path}: {self._name} lists fewer tiles than it needs; {COPY_AGAIN}")
        n = min(len(offsets), len(counts))
        if n == 0 or min(offsets[:n].min(), counts[:n].min()) < 0:
            raise SlideError(f"{self._path}: {self._name} says nowhere where its pixels are; {COPY_AGAIN}")
        ends = offsets[:n] + counts[:n]
        needed = int(ends.max())
        if needed > size or int(ends.min()) < 0:
            raise SlideError(
                f"{self._path}: the file is cut short: {self._name} needs {needed} bytes "
                f"and there are {size}; {COPY_AGAIN}"
            )
        if not self._raw and self.block[0] * self.block[1] * 3 > MAX_SEGMENT_BYTES:
            raise SlideError(
                f"{self._path}: {self._name} is stored as strips of {self.block[0]} × {self.block[1]} px, "
                "too large to decode one at a time; "
                "convert it to a tiled pyramid (vips tiffsave --tile --pyramid)."
            )

    def _get(self, row: int, column: int) -> Pixels:
        return self._cache.get((self._name, row, column), lambda: self._block(row, column))

    def _block(self, row: int, column: int) -> Pixels:
        """Decode a block; what is wrong with it is noted, for those who ask."""
        try:
            decoded = self._rows(row) if self._raw else self._decoded(row, column)
        except FAULTS as err:
            self._damage[row, column] = short(err)
            return np.full((*self._room(row, column), 3), GREY, np.uint8)
        if decoded.complaint:
            self._damage[row, column] = short(decoded.complaint)
        return self._as_rgb(decoded.pixels)

    def _room(self, row: int, column: int) -> tuple[int, int]:
        """Rows and columns of a block that lie inside the plane."""
        return (
            min(self.block[0], self.shape[0] - row * self.block[0]),
            min(self.block[1], self.shape[1] - column * self.block[1]),
        )

    def _rows(self, row: int) -> Decoded:
        """Read a block of an uncompressed run of rows directly: its strips may be any size."""
        rows = self._room(row, 0)[0]
        line = self.shape[1] * self._samples
        data = self._file.read(int(self._offsets[0]) + row * self.block[0] * line, rows * line)
        return Decoded(np.frombuffer(data, np.uint8).reshape(rows, self.shape[1], self._samples))

    def _decoded(self, row: int, column: int) -> Decoded:
        index, room = row * self._across + column, self._room(row, column)
        if not self._planar:
            return self._segment(index, room)
        step = self._across * self._down
        planes = [self._segment(index + sample * step, room) for sample in range(3)]
        complaint = next((plane.complaint for plane in planes if plane.complaint), "")
        return Decoded(np.concatenate([plane.pixels for plane in planes], axis=-1), complaint)

    def _segment(self, index: int, room: tuple[int, int]) -> Decoded:
        offset, count = int(self._offsets[index]), int(self._counts[index])
        samples = 1 if self._planar else self._samples
        if not offset or not count:
            return Decoded(np.full((*room, samples), 0 if self._counts_down else WHITE, np.uint8))
        most = 2 * self.block[0] * self.block[1] * max(3, samples) + 2**16
        if count > most:
            raise ValueError(f"{count} bytes cannot be one tile of {self.block[1]} × {self.block[0]} px")
        decoded = self._decoder.decode(self._file.read(offset, count), self.block, room)
        height, width = decoded.pixels.shape[:2]
        if height < room[0] or width < room[1]:
            raise ValueError(f"it has {width} × {height} px, expected {room[1]} × {room[0]}")
        return decoded

    def _as_rgb(self, pixels: Pixels) -> Pixels:
        if pixels.shape[-1] >= 3:
            return np.ascontiguousarray(pixels[..., :3])
        grey = WHITE - pixels[..., :1] if self._counts_down else pixels[..., :1]
        return np.repeat(grey, 3, axis=-1)


def short(err: BaseException | str) -> str:
    """The first line of a message, or the kind of an exception that has none."""
    lines = str(err).strip().splitlines()
    return (lines[0] if lines else type(err).__name__)[:120]


def _is_one_run(page: TiffPage) -> bool:
    return bool(page.is_contiguous) and page.predictor == 1 and page.fillorder == 1
