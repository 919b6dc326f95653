"""What napari calls differently from 0.6.2 to 0.9, and the parts of its window that have no public name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from napari.layers import Layer, Points, Shapes
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.components import Camera, ViewerModel
    from napari.components.layerlist import LayerList

_DRAWN = ("a_position", "a_fg_color", "a_bg_color", "a_size", "a_edgewidth", "a_symbol")
"""What vispy's markers hold of each point."""


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


T = TypeVar("T")


def unwrapped(proxied: T) -> T:
    """What napari hands to plugins in a wrapping of its own, without that; everything else as it is."""
    inside: T = getattr(proxied, "__wrapped__", proxied)
    return inside


def insert_aside(layers: LayerList, index: int, layer: Layer) -> None:
    """Insert a layer and leave the selected ones selected; each change of them takes napari some 50 ms."""
    before, layers._activate_on_insert = layers._activate_on_insert, False
    try:
        layers.insert(index, layer)
    finally:
        layers._activate_on_insert = before


def on_selected(layer: Shapes, callback: Callable[..., None]) -> Callable[[], None]:
    """Call back when other shapes of a layer are selected; gives what ends that.

    The selection of an older napari is a plain set, of which only the highlight tells.
    """
    events = getattr(layer.selected_data, "events", None)
    signal = layer.events.highlight if events is None else events.items_changed
    signal.connect(callback)
    return lambda: signal.disconnect(callback)


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


def draw_text_if_any(viewer: ViewerModel, layer: Points | Shapes) -> None:
    """Let the text of a layer be drawn once it has some: vispy draws a dozen glyphs for none.

    With the programs for it this takes a tenth of a second of a layer's first frame.
    """
    canvas = canvas_of(viewer)
    drawn = None if canvas is None else canvas.layer_to_visual.get(layer)
    text = None if drawn is None else getattr(drawn.node, "text", None)
    if text is None:
        return

    def follow(*_: object) -> None:
        text.visible = getattr(layer.text.string, "constant", None) != ""

    layer.text.events.connect(follow)
    follow()


def draw_shown_only(layer: Points) -> None:
    """Let a points layer of two dimensions draw no point that is not shown: napari 0.9 draws all of them."""
    slicing = getattr(layer, "_slicing_state", None)
    if slicing is None:
        return
    update = slicing._update_slice_response

    def without_hidden(response: Any) -> None:  # noqa: ANN401
        seen = layer.shown[response.indices]
        if not seen.all():
            response = replace(response, indices=response.indices[seen], size=response.size[seen])
        update(response)

    slicing._update_slice_response = without_hidden


def redraw_points(viewer: ViewerModel, layer: Points, rows: NDArray[np.intp]) -> None:
    """Show what was written into the arrays of a points layer of two dimensions, for some of its points.

    napari draws all points anew, a fifth of a second for 100,000: it turns each symbol into a text. Here
    these points are written into what is drawn already, if it is as expected. Which points are seen stays
    as it was.
    """
    if not _rewrite(markers_of(viewer, layer), layer, rows):
        layer.refresh(thumbnail=False, extent=False)
    elif layer.selected_data:
        layer.refresh(thumbnail=False, extent=False, data_displayed=False)


def _rewrite(markers: Any, layer: Points, rows: NDArray[np.intp]) -> bool:  # noqa: ANN401
    """Write points into vispy's markers, as napari hands them over; whether it could be done."""
    seen = np.flatnonzero(layer.shown)
    if layer.ndim != 2 or not layer.border_width_is_relative or not _known(markers, len(seen)):
        return False
    rows = rows[layer.shown[rows]]
    if not len(rows):
        return True
    drawn, numbers = markers._data, markers._symbol_shader_values
    places, size = np.searchsorted(seen, rows), layer.size[rows] * abs(layer.scale[-1])
    drawn["a_position"][places, :2] = layer.data[rows][:, ::-1]
    drawn["a_fg_color"][places], drawn["a_bg_color"][places] = (
        layer.border_color[rows],
        layer.face_color[rows],
    )
    drawn["a_size"][places], drawn["a_edgewidth"][places] = size, size * layer.border_width[rows]
    drawn["a_symbol"][places] = [numbers[str(each)] for each in layer.symbol[rows]]
    first, last = int(places.min()), int(places.max())
    markers._vbo.set_subdata(drawn[first : last + 1], offset=first)
    markers.update()
    return True


def _known(markers: Any, n: int) -> bool:  # noqa: ANN401
    """Whether markers hold that many points in the form that we know."""
    there = all(hasattr(markers, name) for name in ("_data", "_vbo", "_symbol_shader_values"))
    return (
        there
        and markers._data is not None
        and markers._data.dtype.names == _DRAWN
        and len(markers._data) == n
    )


def still_activity(viewer: ViewerModel) -> None:
    """Stop the spinner that napari shows beside its activity while something has a progress bar there.

    With each of its frames Qt draws the whole window anew. Where no graphics card does that, it took as much
    of the processor as the networks of a run.
    """
    window = getattr(getattr(viewer, "window", None), "_qt_window", None)
    button = getattr(getattr(window, "_activity_dialog", None), "_toggleButton", None)
    spinner = getattr(button, "_inProgressIndicator", None)
    if spinner is not None and spinner.movie() is not None:
        spinner.movie().setPaused(True)


def soon(viewer: ViewerModel, call: Callable[[], None]) -> None:
    """Call once the window of a viewer is at rest, if it is still open then; at once where there is none."""
    if canvas_of(viewer) is None:
        call()
        return
    from qtpy.QtCore import QTimer  # noqa: PLC0415  views without a window know no Qt

    def later() -> None:
        if canvas_of(viewer) is not None:
            call()

    QTimer.singleShot(0, later)
