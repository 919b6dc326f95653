"""napari writer: “Save selected layer” of our points writes ``cells.csv``, of others what napari writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Points
from numpy.typing import NDArray

from napari_deepheme.export import write_csv
from napari_deepheme.ui.layers import cells_of, is_cells


def write_points(path: str, data: NDArray[np.float64], attributes: dict[str, Any]) -> list[str]:
    """Write one points layer as CSV.

    Parameters
    ----------
    path : str
        File to write, ``.csv``.
    data : ndarray, shape (n, d)
        Positions in data coordinates.
    attributes : dict
        The layer's arguments, as napari passes them.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    kept = {name: attributes[name] for name in ("features", "metadata") if name in attributes}
    layer = Points(data, ndim=np.shape(data)[1], **kept)
    write_csv(cells_of(layer) if is_cells(layer) else _plain(layer), Path(path))
    return [path]


def _plain(layer: Points) -> pd.DataFrame:
    """Columns of napari's own points CSV: index, axis-0 …, then the features."""
    axes = pd.DataFrame(layer.data, columns=[f"axis-{i}" for i in range(layer.ndim)])
    axes.insert(0, "index", np.arange(len(axes)))
    features: pd.DataFrame = layer.features
    return pd.concat([axes, features.reset_index(drop=True)], axis=1)
