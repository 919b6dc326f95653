"""Large slides in a minute: sheets of the sample's size laid side by side, every tile encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
from tifffile import TiffWriter

from napari_deepheme import open_slide

TILE, MPP = 256, 0.25
Levels = list[np.ndarray]
Kind = Callable[[int, int], int | None]
"""Which sheet lies in a row and column; None leaves its tiles out of the file."""


def lay(path: Path, n: int, kinds: Sequence[Levels], kind: Kind) -> None:
    """Write a pyramid of n × n sheets."""
    with TiffWriter(path, bigtiff=True) as writer:
        for number, sheets in enumerate(zip(*kinds, strict=True)):
            size, mpp = n * sheets[0].shape[0], MPP * 4**number
            writer.write(
                tiles(sheets, n, kind),
                shape=(size, size, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                resolution=(1e4 / mpp, 1e4 / mpp),
                resolutionunit="CENTIMETER",
                subfiletype=int(number > 0),
                metadata=None,
            )


def levels_of(path: Path) -> Levels:
    with open_slide(path) as slide:
        return [slide.level_pixels(i, (0, 0, *level.shape)) for i, level in enumerate(slide.info.levels)]


def tiles(sheets: Sequence[np.ndarray], n: int, kind: Kind) -> Iterator[bytes]:
    encoded = [[[jpeg(tile) for tile in cut(row)] for row in rows(sheet)] for sheet in sheets]
    for down in range(n):
        for row in range(len(encoded[0])):
            for across in range(n):
                which = kind(down, across)
                absent = [b""] * len(encoded[0][row])
                yield from absent if which is None else encoded[which][row]


def rows(sheet: np.ndarray) -> list[np.ndarray]:
    return [sheet[top : top + TILE] for top in range(0, sheet.shape[0], TILE)]


def cut(row: np.ndarray) -> list[np.ndarray]:
    return [row[:, left : left + TILE] for left in range(0, row.shape[1], TILE)]


def jpeg(tile: np.ndarray) -> bytes:
    pixels = np.ascontiguousarray(tile)
    encoded = imagecodecs.jpeg8_encode(
        pixels, level=90, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
    )
    return bytes(encoded)
