"""The legend on the canvas: a picture that napari's scene draws, so that pictures of the view have it too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_deepheme.ui.legend import Legend, draw, legend_of, pixels_of
from napari_deepheme.ui.napari_versions import canvas_of

if TYPE_CHECKING:
    from napari_deepheme.ui.state import ViewerState

_CORNER = (10, 10)
_ON_TOP = 10_000


class CanvasLegend:
    """Shows what the colours of the cells in hand mean, in the upper left corner; nothing without a window.

    Parameters
    ----------
    state : ViewerState
    """

    def __init__(self, state: ViewerState) -> None:
        self._state = state
        self.legend = Legend()
        """What is shown."""
        self._node: Any = None  # vispy's image
        if canvas_of(state.viewer) is None:
            return
        for signal in (
            state.analysis_changed,
            state.assessment_changed,
            state.cells_changed,
            state.filters_changed,
            state.display_changed,
        ):
            signal.connect(self.refresh)

    def refresh(self, *_: object) -> None:
        """Show what the colours mean now."""
        session, display = self._state.session, self._state.display
        legend = Legend()
        if session is not None and display.legend and len(session.table):
            legend = legend_of(session, display, self._state.filters.hidden)
        if legend != self.legend:
            self.legend = legend
            self._draw()

    def _draw(self) -> None:
        canvas = canvas_of(self._state.viewer)
        ratio = float(canvas.native.devicePixelRatioF())
        picture = draw(self.legend, ratio)
        if self._node is not None:
            self._node.parent = None
            self._node = None
        if picture.isNull():
            return
        from vispy.scene.visuals import Image  # noqa: PLC0415  napari has imported it by then
        from vispy.visuals.transforms import STTransform  # noqa: PLC0415

        # napari draws y downwards, in pixels that a display may divide
        self._node = Image(pixels_of(picture), parent=canvas.view)
        self._node.transform = STTransform(scale=(1 / ratio, 1 / ratio), translate=_CORNER)
        self._node.set_gl_state("translucent", depth_test=False)
        self._node.order = _ON_TOP
