"""A head for a laboratory's own labels: frozen networks, a new last layer, an ordinary bundle.

torch is imported when networks run, not with this package.
"""

from napari_deepheme.adapt.adapting import Adapted, AdaptOptions, adapt
from napari_deepheme.adapt.labelled import Grouping, LabelledCells, LabelSource
from napari_deepheme.adapt.sources import label_sources
from napari_deepheme.adapt.suggestion import suggest

__all__ = [
    "AdaptOptions",
    "Adapted",
    "Grouping",
    "LabelSource",
    "LabelledCells",
    "adapt",
    "label_sources",
    "suggest",
]
