"""A smear as a slide file: Aperio's layout, streamed, with its truth beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import imagecodecs
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tifffile import TiffWriter

from napari_deepheme.errors import OutputError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.synth.render import Renderer, shrink
from napari_deepheme.synth.smear import SmearSpec, truth

_TILE = 256
_BAND = 512  # rows rendered at once; a whole number of rows at every level down to 1/512
_WINDOW = 2048  # columns rendered at once
_STEP = 4  # between levels
_SMALLEST_PX = 512  # no level is added below one this small
_QUALITY = 90
_CLASSIC_PX = 7_000_000_000  # more pixels than this could outgrow the 4 GB of a classic TIFF

_Image: TypeAlias = NDArray[np.uint8]


def write_smear(path: Path | str, spec: SmearSpec) -> Job[pd.DataFrame]:
    """Render a smear to a pyramidal, tiled JPEG TIFF and its truth to ``<name>.truth.csv``.

    The layout is Aperio's (full resolution, thumbnail, levels 4, 16, … times smaller) and the description
    states µm/px and objective, so that any reader of SVS knows the scale; the TIFF resolution says it too.
    Memory does not grow with the smear's area; the disk must hold the file twice while it is written.

    Parameters
    ----------
    path : Path or str
        File to write, ``.svs`` or ``.tif``; replaced if it exists.
    spec : SmearSpec

    Returns
    -------
    Job
        Yields the rows rendered; returns the truth table (see :func:`truth`).

    Raises
    ------
    OutputError
        If the folder does not exist or the file cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"Cannot write {path}: the folder {path.parent} does not exist.")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".smear-") as folder:
            yield from _write_pyramid(Path(folder), spec)
            table = truth(spec)
            (Path(folder) / "smear").replace(path)
        table.to_csv(path.with_suffix(".truth.csv"), index=False, lineterminator="\n")
    except OSError as err:
        raise OutputError(f"Cannot write {path}: {err}.") from err
    return table


def _write_pyramid(folder: Path, spec: SmearSpec) -> Job[None]:
    """Render to compressed tiles and reduced levels on disk, then bind them in one file, ``smear``.

    TiffWriter pulls its tiles, which leaves no moment to report progress: hence the two passes, of which
    the second only copies bytes.
    """
    renderer = Renderer(spec)
    levels = [
        np.memmap(folder / f"level{number}", np.uint8, "w+", shape=(*shape, 3))
        for number, shape in enumerate(_reduced(spec.shape))
    ]
    lengths: list[int] = []
    with (folder / "tiles").open("wb") as store:
        for top in range(0, spec.shape[0], _BAND):
            yield Progress("Rendering", top, spec.shape[0])
            for tile in _tiles(_render_band(renderer, levels, top)):
                lengths.append(store.write(tile))
    yield Progress("Rendering", spec.shape[0], spec.shape[0])
    thumbnail = np.array(levels[-1]) if levels else renderer.window(0, 0, *spec.shape)
    big = spec.shape[0] * spec.shape[1] > _CLASSIC_PX
    with TiffWriter(folder / "smear", bigtiff=big) as writer, (folder / "tiles").open("rb") as store:
        _add_page(writer, spec, spec.shape, (store.read(length) for length in lengths))
        _add_thumbnail(writer, spec, thumbnail)
        while levels:
            level = levels.pop(0)
            _add_page(writer, spec, level.shape[:2], _tiles(level))


def _reduced(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Heights and widths of the levels below the first."""
    found: list[tuple[int, int]] = []
    while max(shape) > _SMALLEST_PX and min(shape) >= _STEP:
        shape = shape[0] // _STEP, shape[1] // _STEP
        found.append(shape)
    return found


def _render_band(
    renderer: Renderer, levels: list[np.memmap[tuple[int, ...], np.dtype[np.uint8]]], top: int
) -> _Image:
    """Rows from ``top``, full width; their reduced versions go to ``levels``."""
    rows, cols = renderer.spec.shape
    height = min(_BAND, rows - top)
    band = np.empty((height, cols, 3), np.uint8)
    for left in range(0, cols, _WINDOW):
        width = min(_WINDOW, cols - left)
        band[:, left : left + width] = renderer.window(top, left, height, width)
    small = band
    for level in levels:
        small, top = shrink(small, _STEP), top // _STEP
        level[top : top + len(small)] = small
    return band


def _tiles(image: _Image) -> Iterator[bytes]:
    """Compressed tiles in reading order; those at the far edges repeat the last row and column."""
    for top in range(0, image.shape[0], _TILE):
        for left in range(0, image.shape[1], _TILE):
            tile = np.asarray(image[top : top + _TILE, left : left + _TILE])
            missing = _TILE - tile.shape[0], _TILE - tile.shape[1]
            if any(missing):
                tile = np.pad(tile, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
            yield _jpeg(tile)


def _jpeg(tile: _Image) -> bytes:
    encoded = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(tile),
        level=_QUALITY,
        colorspace="RGB",
        outcolorspace="YCBCR",
        subsampling="420",
    )
    return bytes(encoded)


def _add_page(writer: TiffWriter, spec: SmearSpec, shape: tuple[int, ...], tiles: Iterator[bytes]) -> None:
    """Add one level, all of whose pixels are in ``tiles``."""
    scale = "" if shape == spec.shape else f" -> {shape[1]}x{shape[0]}"
    mpp = np.array(spec.shape) / np.array(shape) * spec.mpp
    writer.write(
        tiles,
        shape=(*shape, 3),
        dtype=np.uint8,
        tile=(_TILE, _TILE),
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        description=_description(spec, f"({_TILE}x{_TILE}){scale} JPEG/YCC Q={_QUALITY}"),
        resolution=(1e4 / mpp[1], 1e4 / mpp[0]),
        resolutionunit="CENTIMETER",
        metadata=None,
        software=False,
    )


def _add_thumbnail(writer: TiffWriter, spec: SmearSpec, image: _Image) -> None:
    """Add the small picture that Aperio's readers expect as the second page, not tiled."""
    writer.write(
        image,
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        compressionargs={"level": _QUALITY},
        rowsperstrip=-(-image.shape[0] // 16) * 16,
        description=_description(spec, f"-> {image.shape[1]}x{image.shape[0]} - "),
        metadata=None,
        software=False,
    )


def _description(spec: SmearSpec, detail: str) -> str:
    """Image description in Aperio's form."""
    height, width = spec.shape
    mpp = f"{spec.mpp:.4f}" if round(spec.mpp, 4) == spec.mpp else repr(spec.mpp)
    power = 10 / spec.mpp
    return (
        f"Aperio Image Library v12.0.15 \r\n{width}x{height} [0,0 {width}x{height}] {detail}"
        f"|AppMag = {power:.3g}|MPP = {mpp}|Title = rendered by napari-deepheme, seed {spec.seed}"
    )
