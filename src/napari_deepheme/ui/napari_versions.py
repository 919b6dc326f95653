"""What napari calls differently from 0.6.2 to 0.9, and the parts of its window that have no public name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Points

if TYPE_CHECKING:
    from napari.components import Camera, ViewerModel
    from napari.components.layerlist import LayerList


def camera_of(viewer: ViewerModel) -> Camera:
    """The camera; until 0.7 the viewer's own."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def view_px(viewer: ViewerModel) -> tuple[int, int]:
    """Height and width of what one sees of the canvas, or of a cell of its grid."""
    canvas = getattr(viewer, "canvas", None)
    size = viewer._get_viewbox_size() if canvas is None else canvas.viewbox_size(viewer.layers)
    return int(size[0]), int(size[1])


def on_renamed(layers: LayerList, callback: Callable[..., None]) -> Callable[[], None]:
    """Call back when a layer gets another name; gives what ends that."""
    events = getattr(layers.events, "renamed", None)
    if events is not None:
        events.connect(callback)
        return lambda: events.disconnect(callback)

    def follow(event: Any) -> None:  # noqa: ANN401 - napari's event
        event.value.events.name.connect(callback)

    def leave(event: Any) -> None:  # noqa: ANN401
        event.value.events.name.disconnect(callback)

    def stop() -> None:
        layers.events.inserted.disconnect(follow)
        layers.events.removed.disconnect(leave)
        for each in layers:
            each.events.name.disconnect(callback)

    for each in layers:
        each.events.name.connect(callback)
    layers.events.inserted.connect(follow)
    layers.events.removed.connect(leave)
    return stop


def canvas_of(viewer: ViewerModel) -> Any:  # noqa: ANN401 - napari's, without a public type
    """What draws the layers of a viewer; None for a viewer without a window."""
    window = getattr(viewer, "window", None)
    shown = getattr(window, "_qt_window", None)  # a closed window has none
    return None if shown is None else shown._qt_viewer.canvas


def markers_of(viewer: ViewerModel, layer: Points) -> Any:  # noqa: ANN401
    """The vispy visual that draws a layer's points; None where none is drawn."""
    canvas = canvas_of(viewer)
    drawn = None if canvas is None else canvas.layer_to_visual.get(layer)
    return None if drawn is None else drawn.node.points_markers


def soon(viewer: ViewerModel, call: Callable[[], None]) -> None:
    """Call once the window of a viewer is at rest; at once where there is no window."""
    if canvas_of(viewer) is None:
        call()
        return
    from qtpy.QtCore import QTimer  # noqa: PLC0415  views without a window know no Qt

    QTimer.singleShot(0, call)
