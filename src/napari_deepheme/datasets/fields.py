"""Fields whose cells are marked, to train and judge a detector with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_deepheme.detect.white import White, white_of
from napari_deepheme.errors import SlideError, TableError
from napari_deepheme.given import read_cells
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.reader import Slide, open_slide
from napari_deepheme.tables import read_table

Floats = NDArray[np.float32]

FIELD_MPP = 0.4
"""µm/px that fields are kept at: finer than the detector looks, so that views can be enlarged."""

POINT_UM = 12.0
"""Diameter taken for a cell that is marked by a point."""

UNSURE = "unsure"
"""Label of what may or may not be a nucleated cell: found or left, either is right."""

NOT_CELLS = frozenset(
    {"rbc", "red cell", "erythrocyte", "platelet", "platelets", "pc", "artefact", "artifact", "other"}
)
"""Labels (in any case) of what has no nucleus; every other but :data:`UNSURE` is a nucleated cell."""

_MOST_PX = 25_000_000
_IMAGES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".svs", ".ndpi", ".scn"}
_MARKS = (".csv", ".geojson", ".geojson.gz")
_BOX, _POINT = ("xmin", "ymin", "xmax", "ymax"), ("x", "y")


NOTHING = np.zeros((0, 4), np.float32)
"""No marks."""


@dataclass(frozen=True, slots=True, eq=False)
class MarkedField:
    """An image in which every nucleated cell is marked, outside what is unsure.

    Attributes
    ----------
    path : Path
    image : ndarray of uint8, shape (h, w, 3)
        At :data:`FIELD_MPP`.
    white : tuple of float
        RGB of its empty background.
    cells, others, unsure : ndarray of float32, shape (n, 4)
        Middle (y, x), height and width in px of ``image``: nucleated cells, things that are none, and parts
        in which either answer is right.
    boxed : bool
        Whether sizes were marked; else they are :data:`POINT_UM`.
    """

    path: Path
    image: NDArray[np.uint8]
    white: White
    cells: Floats
    others: Floats
    unsure: Floats
    boxed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What is marked in one image, in its own pixels: middle (y, x), height and width, NaN without a size."""

    path: Path
    cells: Floats
    others: Floats
    unsure: Floats
    mpp: float | None


def read_marks(source: Path, mpp: float | None) -> list[Marks]:
    """Find marked images.

    Parameters
    ----------
    source : Path
        A CSV with a row per mark (``image``, then ``xmin, ymin, xmax, ymax`` or ``x, y``; perhaps ``label``
        and ``mpp``), paths beside it; or a folder of images, each with ``<name>.csv`` or ``<name>.geojson``
        as napari, QuPath or this program write them.
    mpp : float, optional
        µm/px of the images, where the table does not say it.

    Raises
    ------
    TableError, OptionError
        No marks, or marks that cannot be read.
    """
    marks = _from_folder(source, mpp) if source.is_dir() else _from_table(source, mpp)
    if not any(len(each.cells) for each in marks):
        raise TableError(f"{source}: no nucleated cell is marked there; a detector needs some to learn from.")
    return marks


def read_fields(marks: Sequence[Marks]) -> Job[list[MarkedField]]:
    """Read the images of marks.

    Raises
    ------
    SlideError, ScaleError
        An image cannot be read, is larger than 25 megapixels at 0.4 µm/px, or its µm/px is not known.
    """
    fields = []
    for i, mark in enumerate(marks):
        yield Progress("Reading fields", i, len(marks), mark.path.name)
        with open_slide(mark.path, mpp=mark.mpp) as slide:
            fields.append(_read(slide, mark))
    return fields


def _read(slide: Slide, mark: Marks) -> MarkedField:
    step = np.array(slide.scale()) / FIELD_MPP
    height, width = (max(1, round(n * s)) for n, s in zip(slide.info.shape, step, strict=True))
    if height * width > _MOST_PX:
        raise SlideError(
            f"{mark.path}: {height} × {width} px at {FIELD_MPP} µm/px is too large to be marked throughout; "
            "cut the fields out in which every cell is marked."
        )
    middle = (slide.info.shape[0] - 1) / 2, (slide.info.shape[1] - 1) / 2
    image = slide.read(middle, (height, width), FIELD_MPP)

    def placed(boxes: Floats) -> Floats:
        result = boxes * np.tile(step, 2).astype(np.float32)
        result[:, :2] += ((step - 1) / 2).astype(np.float32)
        return np.where(np.isfinite(result), result, np.float32(POINT_UM / FIELD_MPP))

    boxed = bool(np.isfinite(mark.cells).all())
    cells, others, unsure = (placed(boxes) for boxes in (mark.cells, mark.others, mark.unsure))
    return MarkedField(mark.path, image, white_of([image]), cells, others, unsure, boxed)


def _from_folder(folder: Path, mpp: float | None) -> list[Marks]:
    marks = []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGES):
        beside = [file for end in _MARKS if (file := path.with_name(path.stem + end)).exists()]
        if beside:
            cells = read_cells(beside[0], None if mpp is None else (mpp, mpp))
            size = np.where(cells.diameter_um > 0, cells.diameter_um / (mpp or np.nan), np.nan)
            sizes = np.stack([size, size], axis=1)
            marks.append(Marks(path, np.hstack([cells.yx, sizes]).astype(np.float32), NOTHING, NOTHING, mpp))
    if not marks:
        raise TableError(
            f"{folder}: no image with marks beside it; expected pairs such as field-1.png and field-1.csv "
            "(or .geojson)."
        )
    return marks


def _from_table(path: Path, mpp: float | None) -> list[Marks]:
    table = _table(path)
    columns = _BOX if set(_BOX) <= set(table.columns) else _POINT
    labels = table["label"].astype(str) if "label" in table.columns else pd.Series("cell", table.index)
    labels = labels.str.strip().str.lower()
    none, unsure = labels.isin(NOT_CELLS).to_numpy(), (labels == UNSURE).to_numpy()
    numbers = table[list(columns)].apply(pd.to_numeric, errors="coerce")
    wrong = np.flatnonzero(~np.isfinite(numbers.astype(float)).all(axis=1))
    if len(wrong):
        raise TableError(f"{path}: row {wrong[0] + 2} has no numbers in {', '.join(columns)}; correct it.")
    if columns == _BOX:
        _refuse_turned(path, numbers)
    places = _middles(numbers.to_numpy(np.float32))
    scales = _scales(path, table, mpp)
    marks = []
    for name, rows in table.groupby("image", sort=True).indices.items():
        scale = scales[rows[0]]
        cells, others, doubt = (places[rows][kind[rows]] for kind in (~none & ~unsure, none, unsure))
        image = path.parent / str(name)
        marks.append(Marks(image, cells, others, doubt, None if math.isnan(scale) else float(scale)))
    return marks


def _refuse_turned(path: Path, boxes: pd.DataFrame) -> None:
    left, top, right, bottom = boxes.to_numpy().T
    turned = np.flatnonzero((right < left) | (bottom < top))
    if len(turned):
        raise TableError(
            f"{path}: the box in row {turned[0] + 2} is turned round; "
            "expected xmin below xmax and ymin below ymax."
        )


def _scales(path: Path, table: pd.DataFrame, mpp: float | None) -> NDArray[np.float64]:
    """µm/px of each row: the table's, else the one given; NaN where the image has to say it."""
    given = math.nan if mpp is None else mpp
    if "mpp" not in table.columns:
        return np.full(len(table), given)
    scales = pd.to_numeric(table["mpp"], errors="coerce")
    wrong = np.flatnonzero(scales.isna() & (table["mpp"] != ""))
    if len(wrong):
        raise TableError(f"{path}: row {wrong[0] + 2} has no number in mpp; correct it, or leave it empty.")
    return scales.fillna(given).to_numpy(np.float64)


def _table(path: Path) -> pd.DataFrame:
    table = read_table(path)
    known = set(table.columns)
    if "image" not in known or not (set(_BOX) <= known or set(_POINT) <= known):
        raise TableError(
            f"{path}: columns {', '.join(map(str, table.columns))}; expected image and {', '.join(_BOX)}, "
            "or image, x, y; perhaps label and mpp."
        )
    return table


def _middles(numbers: Floats) -> Floats:
    """Points (n, 2) or corners (n, 4) to middle, height and width; a box without area is a point."""
    if numbers.shape[1] == len(_POINT):
        x, y = numbers.T
        return np.stack([y, x, np.full_like(x, np.nan), np.full_like(x, np.nan)], axis=1)
    left, top, right, bottom = numbers.T
    sizes = np.stack([bottom - top, right - left], axis=1)
    sizes[(sizes == 0).any(axis=1)] = np.nan
    return np.concatenate([np.stack([(top + bottom) / 2, (left + right) / 2], axis=1), sizes], axis=1)
