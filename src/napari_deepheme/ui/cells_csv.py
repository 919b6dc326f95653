"""napari reader: a table of classified cells, ours or one that napari saved, as the points layer it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from napari_deepheme.export.files import is_cells_csv, read_cells_csv
from napari_deepheme.export.table import taxonomy_of
from napari_deepheme.slide.metadata import plausible
from napari_deepheme.ui.layers import LayerData, Origin, cells_layer

_SQUARE = 1e-4  # what the rounding of positions can make of square pixels
_DIGITS = 6


def get_cells_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Tell whether these files are tables of cells, by their headers.

    Parameters
    ----------
    path : str or sequence of str
        One file, or several that become a layer each.

    Returns
    -------
    callable or None
        Reads the same ``path`` into points layers; None if another reader should be asked.
    """
    paths = _paths(path)
    return read_layers if paths and all(is_cells_csv(each) for each in paths) else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read each table as a points layer.

    Raises
    ------
    TableError
        A file is not such a table.
    """
    return [_layer(each) for each in _paths(path)]


def _layer(path: Path) -> LayerData:
    table = read_cells_csv(path)
    origin = Origin(taxonomy_of(table), str(path), mpp=_mpp(table))
    return cells_layer(table, origin, path.name.removesuffix(path.suffix))


def _mpp(table: pd.DataFrame) -> tuple[float, float] | None:
    """µm/px (y, x) from the columns in µm and in pixels; None when the table does not tell."""
    sums = table[["y_px", "x_px", "y_um", "x_um"]].abs().sum()
    if not min(sums) > 0:
        return None
    y, x = sums["y_um"] / sums["y_px"], sums["x_um"] / sums["x_px"]
    if abs(y - x) < _SQUARE * x:
        y = x = (sums["y_um"] + sums["x_um"]) / (sums["y_px"] + sums["x_px"])
    mpp = (round(float(y), _DIGITS), round(float(x), _DIGITS))
    return mpp if plausible(mpp) else None


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str | Path) else [Path(each) for each in path]
