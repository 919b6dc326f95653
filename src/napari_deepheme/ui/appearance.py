"""Outlines of fields that stay as wide on the screen as one zooms; those of cells do by themselves."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING

from napari.layers import Shapes

from napari_deepheme.ui.layer_keys import LayerKey
from napari_deepheme.ui.napari_versions import camera_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

_FIELD_EDGE_PX = 2.0


def restyle_fields(layer: Shapes, zoom: float) -> None:
    """Keep the outlines of fields 2 to 4 screen pixels wide; changes only when the zoom doubles."""
    px_per_screen = 1 / (abs(float(layer.scale[-1])) * zoom)
    width = _FIELD_EDGE_PX * 2.0 ** math.ceil(math.log2(px_per_screen))
    if layer.metadata[LayerKey.FIELDS].get("edge") != width and layer.nshapes:
        layer.metadata[LayerKey.FIELDS]["edge"] = width
        layer.edge_width = [width] * layer.nshapes
        layer.current_edge_width = width


class ZoomFollower:
    """Restyles the fields of a viewer as one zooms; :meth:`stop` lets go of the viewer."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)  # the view of the cells outlives no viewer
        camera_of(viewer).events.zoom.connect(self.restyle_all)
        viewer.layers.events.inserted.connect(self.restyle_all)
        self.restyle_all()

    def restyle_all(self, event: object = None) -> None:  # noqa: ARG002 - napari passes its event
        """Give the outlines of all fields the width for the present zoom."""
        viewer = self._viewer()
        if viewer is None:
            return
        zoom = camera_of(viewer).zoom
        for layer in viewer.layers:
            if isinstance(layer, Shapes) and LayerKey.FIELDS in layer.metadata:
                restyle_fields(layer, zoom)

    def stop(self) -> None:
        """Follow no longer."""
        viewer = self._viewer()
        if viewer is not None:
            camera_of(viewer).events.zoom.disconnect(self.restyle_all)
            viewer.layers.events.inserted.disconnect(self.restyle_all)
