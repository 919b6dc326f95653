"""The view of each viewer's cells: one for a viewer, which outlives the docks."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari_deepheme.ui.cells_view import CellsView
from napari_deepheme.ui.napari_versions import unwrapped
from napari_deepheme.ui.state import state_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

_views: dict[int, CellsView] = {}


def view_of(viewer: ViewerModel) -> CellsView:
    """Give the view of a viewer's cells, made with its state at the first call."""
    viewer = unwrapped(viewer)
    view = _views.get(id(viewer))
    if view is None:
        view = _views[id(viewer)] = CellsView(state_of(viewer))
        weakref.finalize(viewer, _views.pop, id(viewer), None)
    return view
