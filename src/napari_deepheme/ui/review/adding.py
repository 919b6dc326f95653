"""A click on the slide adds a cell that was missed, while that is switched on. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from napari.layers import Layer

if TYPE_CHECKING:
    from napari.components import ViewerModel

Position = tuple[float, float]
_CLICK_PX = 4  # a hand is not quite still


class AddByClick:
    """Listens to clicks on the canvas; a drag moves the picture as ever.

    Parameters
    ----------
    viewer : ViewerModel
    slide : callable
        Gives the image layer that is clicked on; None if there is none.
    add : callable
        Told where, level-0 pixels (y, x).
    """

    def __init__(
        self, viewer: ViewerModel, slide: Callable[[], Layer | None], add: Callable[[Position], object]
    ) -> None:
        self._viewer, self._slide, self._add = viewer, slide, add

    @property
    def is_on(self) -> bool:
        """Whether clicks add cells."""
        return self._on_mouse in self._viewer.mouse_drag_callbacks

    def switch(self, on: bool) -> None:
        """Begin or stop listening."""
        if on and not self.is_on:
            self._viewer.mouse_drag_callbacks.append(self._on_mouse)
        elif not on and self.is_on:
            self._viewer.mouse_drag_callbacks.remove(self._on_mouse)

    def _on_mouse(self, viewer: ViewerModel, event: Any) -> Iterator[None]:  # noqa: ANN401, ARG002 - napari's
        began = tuple(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        moved = max(abs(a - b) for a, b in zip(event.pos, began, strict=True))
        slide = self._slide()
        if slide is None or moved > _CLICK_PX:
            return
        y, x = (float(each) for each in slide.world_to_data(event.position)[:2])
        height, width = slide.data.shape[:2] if not slide.multiscale else slide.data[0].shape[:2]
        if -0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5:
            self._add((y, x))
