"""The cell one is at, on the slide: a layer of one point, and the camera that goes there. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Points

from napari_deepheme.ui.layers import placement
from napari_deepheme.ui.napari_versions import camera_of, draw_text_if_any, insert_aside

if TYPE_CHECKING:
    from napari.components import ViewerModel

MARKER_KEY = "deepheme_marker"
"""Where the metadata of the layer says what it is."""
_NAME = "cell in review"
_MOVES = ("scale", "translate")
_RING_UM = 30.0
_UNKNOWN_MPP = 0.25
_LEAST_PX, _WANTED_PX = 24.0, 90.0
"""Screen pixels of the ring below which one comes nearer, and those one comes to."""


class Marker:
    """Marks a cell and leads the camera to it.

    Parameters
    ----------
    viewer : ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer

    @property
    def layer(self) -> Points | None:
        """The layer; None before the first cell, or when a person deleted it."""
        return next((each for each in self._viewer.layers if MARKER_KEY in each.metadata), None)

    def show(
        self, yx: tuple[float, float] | None, slide: Layer | None, mpp: float | None, *, lead: bool = True
    ) -> None:
        """Mark a cell of a slide, level-0 pixels, or none; ``lead`` the camera there."""
        layer = self.layer
        if yx is None:
            if layer is not None and len(layer.data):
                layer.data = np.zeros((0, 2))
            return
        place = placement(slide) if slide is not None else {"scale": (mpp or 1.0, mpp or 1.0)}
        if layer is None:
            layer = self._made(place)
        elif any(not np.array_equal(getattr(layer, name), place[name]) for name in _MOVES if name in place):
            for name, value in place.items():
                setattr(layer, name, value)
        layer.data = np.array([yx])
        layer.size = _RING_UM / (mpp or _UNKNOWN_MPP)
        if lead:
            self._go_to(layer)

    def _made(self, place: dict[str, Any]) -> Points:
        layer = Points(
            np.zeros((0, 2)),
            name=_NAME,
            face_color="transparent",
            border_color="#1a1a1a",
            border_width=0.06,
            metadata={MARKER_KEY: True},
            **place,
        )
        # what a person has selected stays selected: this is not for editing
        layers = self._viewer.layers
        insert_aside(layers, len(layers), layer)
        draw_text_if_any(self._viewer, layer)
        layer.editable = False
        return layer

    def _go_to(self, layer: Points) -> None:
        camera = camera_of(self._viewer)
        world = layer.data_to_world(layer.data[0])
        camera.center = (0.0, *(float(each) for each in world[-2:]))
        ring = float(layer.size[0]) * abs(float(layer.scale[-1]))
        if ring * camera.zoom < _LEAST_PX:
            camera.zoom = _WANTED_PX / ring
