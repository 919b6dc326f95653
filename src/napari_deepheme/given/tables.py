"""Tables of cells, whatever program wrote them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_deepheme.cells import FARTHEST_PX
from napari_deepheme.errors import OptionError
from napari_deepheme.given.geojson import CORNER_PX, Points, read_text
from napari_deepheme.tables import separator_of

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("detector_score", "score")
"""What a cell's score may be called; the first that is there counts."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two columns of positions: in pixels or µm, from an origin ``origin_px`` above and left of ours."""

    y: str
    x: str
    origin_px: float = 0.0
    um: bool = False


_PAIRS = (
    _Pair("y_px", "x_px"),
    _Pair("y", "x"),
    _Pair("centroid_y", "centroid_x"),
    _Pair("Centroid Y px", "Centroid X px", CORNER_PX),
    _Pair("Centroid Y µm", "Centroid X µm", CORNER_PX, um=True),
)
_BOX = ("ymin", "xmin", "ymax", "xmax")


def read_rows(path: Path, mpp: tuple[float, float] | None) -> tuple[Points, Points, Points]:
    """Read a table of cells, one a row.

    Parameters
    ----------
    path : Path
        CSV or TSV; see :func:`napari_deepheme.given.read_cells`.
    mpp : tuple of float or None
        µm per level-0 pixel, (y, x), for positions in µm.

    Returns
    -------
    yx : ndarray of float64, shape (n, 2)
        Centres, level-0 pixels.
    area_px : ndarray of float64, shape (n,)
        Of the ellipse in each box, square pixels; 0 where there is no box.
    score : ndarray of float64, shape (n,)
        1 without one.

    Raises
    ------
    OptionError
        No table, no column we know, a row that is not of numbers, or positions in µm without ``mpp``.
    """
    table = _table(path)
    columns = {_key(name): name for name in table.columns}
    scores = [columns[name] for name in SCORES if name in columns]
    score = _numbers(path, table[scores[:1]])[:, 0] if scores else np.ones(len(table))
    pair = _pair(path, columns)
    if pair is None:
        yx, area = _boxes(path, table, columns)
        return yx, area, score
    yx = _numbers(path, table[[pair.y, pair.x]])
    if pair.um:
        if mpp is None:
            raise OptionError(
                f"{path} has positions in µm, which need the slide's µm/px; give it with --mpp."
            )
        yx = yx / np.array(mpp)
    return yx - pair.origin_px, np.zeros(len(yx)), score


def _pair(path: Path, columns: dict[str, str]) -> _Pair | None:
    """The two columns that hold positions, as the table calls them."""
    if "shape-type" in columns:
        raise OptionError(
            f"{path} holds the corners of napari shapes; expected one row a cell, as of a points layer."
        )
    # Before x_px: in a points layer of ours that napari saved, these are where a person dragged a cell.
    axes = sorted(key for key in columns if re.fullmatch(r"axis-\d+", key))
    if len(axes) > 1:
        return _Pair(columns[axes[-2]], columns[axes[-1]])
    for pair in _PAIRS:
        y, x = columns.get(_key(pair.y)), columns.get(_key(pair.x))
        if y is not None and x is not None:
            return _Pair(y, x, pair.origin_px, pair.um)
    return None


def _boxes(path: Path, table: pd.DataFrame, columns: dict[str, str]) -> tuple[Points, Points]:
    """Middles of boxes, and the areas of the ellipses in them."""
    if not all(name in columns for name in _BOX):
        raise OptionError(
            f"{path} has no columns of positions that are known; expected "
            + ", ".join(f"{pair.x} and {pair.y}" for pair in _PAIRS)
            + f", napari's axis-0 and axis-1, or {', '.join(_BOX)}."
        )
    box = _numbers(path, table[[columns[name] for name in _BOX]])
    low, high = box[:, :2], box[:, 2:]
    return (low + high) / 2, np.pi / 4 * np.abs(np.prod(high - low, axis=1))


def _table(path: Path) -> pd.DataFrame:
    """All fields as text, blanks stripped; the index is the row's number, the header being row 1."""
    import pandas as pd  # noqa: PLC0415  half a second that finding cells need not wait for

    text = read_text(path)
    try:
        table = pd.read_csv(
            StringIO(text),
            sep=separator_of(text),
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
        )
    except ValueError as err:
        raise OptionError(
            f"{path} cannot be read as a table ({str(err).strip()}); expected CSV or TSV."
        ) from err
    table = table.fillna("").map(str.strip)
    below = table.iloc[1:]
    below.columns, below.index = pd.Index(table.iloc[0]), below.index + 1
    return below.loc[(below != "").any(axis=1), ~below.columns.duplicated()]


def _numbers(path: Path, table: pd.DataFrame) -> Points:
    import pandas as pd  # noqa: PLC0415

    numbers: Points = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    possible = np.abs(numbers) < FARTHEST_PX
    if not possible.all():
        row, column = np.argwhere(~possible)[0]
        raise OptionError(
            f"{path}: {table.iloc[row, column]!r} in row {table.index[row]}, column {table.columns[column]}, "
            f"is not a number below {FARTHEST_PX:g}; correct the row or take it out."
        )
    return numbers


def _key(name: str) -> str:
    """A column's name, however it is written; folding makes the two µ of Unicode one."""
    return name.casefold().replace("μm", "um")
