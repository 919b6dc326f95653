"""What stands behind a cells layer: an analysis file or a table. No Qt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from napari.layers import Points
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from napari_deepheme.slide.location import slide_path
from napari_deepheme.store.opening import open_analysis
from napari_deepheme.ui.layer_keys import LayerKey
from napari_deepheme.ui.layers import moved_to, origin_of
from napari_deepheme.ui.session import Session


def label_codes(layer: Points) -> NDArray[np.integer]:
    """The labels of a layer as numbers, quick to compare."""
    labels = layer.features["label"]
    if not isinstance(labels.dtype, pd.CategoricalDtype):  # something wrote there what is no class
        labels = labels.astype("category")
    codes: NDArray[np.integer] = labels.cat.codes.to_numpy(copy=True)
    return codes


def session_behind(layer: Points) -> Session:
    """Open what a cells layer that a reader made shows: its analysis file, or its table."""
    path = layer.metadata.get(LayerKey.ANALYSIS)
    if path is not None and Path(path).is_file():
        file = open_analysis(path, write=True)
        analysis = moved_to(file.analysis(), slide_path(origin_of(layer).slide))
        if file.read_only:
            file.close()
            show_warning(f"{file.path.name} can only be read now: corrections stay in memory until exported.")
            return Session.of_analysis(analysis, layer.name)
        return Session.of_analysis(analysis, layer.name, file)
    table: pd.DataFrame = layer.features.copy()
    table["label"] = table["label"].astype(object)
    return Session.of_table(table, origin_of(layer), layer.name)
