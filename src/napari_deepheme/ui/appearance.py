"""How the cells look: filled dots from afar, outlines round the cells from near."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari.layers import Points, Shapes

from napari_deepheme.ui.layers import FIELDS_KEY, KEY, colours, is_cells, origin_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

_NEAR_PX = 26
_OUTLINE_PX = 2.5
_FIELD_EDGE_PX = 2.0


@dataclass(frozen=True, slots=True)
class Look:
    """Opacity of the discs' middles, and width of their outlines as a part of their size."""

    fill: float
    outline: float


def look_at(disc_px: float) -> Look:
    """Give the look of discs that are ``disc_px`` wide on the screen; changes only when that doubles."""
    if disc_px < _NEAR_PX:
        return Look(fill=1.0, outline=0.1)
    octave: float = _NEAR_PX
    while disc_px >= 2 * octave:
        octave *= 2
    return Look(fill=0.0, outline=_OUTLINE_PX / octave)


def restyle(layer: Points, zoom: float) -> None:
    """Give a cells layer the look that fits a zoom (screen pixels per world unit)."""
    size = float(layer.size[0] if len(layer.size) else layer.current_size)
    look = look_at(size * abs(float(layer.scale[-1])) * zoom)
    if layer.metadata[KEY].get("look") == look:
        return
    layer.metadata[KEY]["look"] = look
    layer.face_color_cycle = colours(origin_of(layer).taxonomy, look.fill)
    layer.border_width = look.outline


def restyle_fields(layer: Shapes, zoom: float) -> None:
    """Keep the outlines of fields 2 to 4 screen pixels wide; changes only when the zoom doubles."""
    px_per_screen = 1 / (abs(float(layer.scale[-1])) * zoom)
    width = _FIELD_EDGE_PX * 2.0 ** math.ceil(math.log2(px_per_screen))
    if layer.metadata[FIELDS_KEY].get("edge") != width and layer.nshapes:
        layer.metadata[FIELDS_KEY]["edge"] = width
        layer.edge_width = [width] * layer.nshapes
        layer.current_edge_width = width


class ZoomFollower:
    """Restyles the cells layers of a viewer as one zooms; :meth:`stop` lets go of the viewer."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)  # the view of the cells outlives no viewer
        viewer.scene.camera.events.zoom.connect(self.restyle_all)
        viewer.layers.events.inserted.connect(self.restyle_all)
        self.restyle_all()

    def restyle_all(self, event: object = None) -> None:  # noqa: ARG002 - napari passes its event
        """Give every cells layer the look for the present zoom."""
        viewer = self._viewer()
        if viewer is None:
            return
        zoom = viewer.scene.camera.zoom
        for layer in viewer.layers:
            if is_cells(layer):
                restyle(layer, zoom)
            elif isinstance(layer, Shapes) and FIELDS_KEY in layer.metadata:
                restyle_fields(layer, zoom)

    def stop(self) -> None:
        """Follow no longer."""
        viewer = self._viewer()
        if viewer is not None:
            viewer.scene.camera.events.zoom.disconnect(self.restyle_all)
            viewer.layers.events.inserted.disconnect(self.restyle_all)
