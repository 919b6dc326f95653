"""The cells of a viewer's analyses as points layers, one for each: a view of the state. No Qt.

A layer is filled anew in place, never removed and made again. What a person does to it with napari's own
tools becomes a correction; what no correction can say is put right.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from napari.layers import Image, Layer, Points
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from napari_deepheme.ui.appearance import ZoomFollower
from napari_deepheme.ui.canvas_legend import CanvasLegend
from napari_deepheme.ui.halo import draw_halo
from napari_deepheme.ui.layer_keys import LayerKey
from napari_deepheme.ui.layer_session import label_codes, session_behind
from napari_deepheme.ui.layers import (
    cells_layer,
    colour_rows,
    fill_cells,
    is_cells,
    paint_cells,
    placement,
)
from napari_deepheme.ui.napari_versions import draw_shown_only, draw_text_if_any, redraw_points, soon
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.slides import slide_layers, slide_path
from napari_deepheme.ui.state import Ids, ViewerState

if TYPE_CHECKING:
    pass

_POSITION_STEP = 0.005  # positions in the table are rounded to 0.01 px


class CellsView:
    """Keeps the points layers of a viewer as the state has them; get it by :func:`view_of`."""

    def __init__(self, state: ViewerState) -> None:
        self.state = state
        self._layers: list[tuple[Session, Points]] = []
        self._busy = False
        self._labels: NDArray[np.integer] = np.zeros(0, np.int8)  # of the layer in hand, as we left them
        viewer = state.viewer
        self._follower = ZoomFollower(viewer)
        self._legend = CanvasLegend(state)
        self._put_back: list[Session] = []
        state.analysis_changed.connect(self._show)
        state.assessment_changed.connect(self._show)
        state.cells_changed.connect(self._update)
        state.filters_changed.connect(self._hide)
        state.display_changed.connect(self._paint)
        # last: napari has drawn a layer that came, and let go of one that went
        viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        viewer.layers.events.removed.connect(self._on_removed, position="last")
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.mouse_move_callbacks.append(self._on_move)
        for layer in list(viewer.layers):
            self._adopt(layer)

    def layer_of(self, session: Session | None) -> Points | None:
        """The layer of an analysis; None if it is not shown."""
        return next((layer for each, layer in self._layers if each is session), None)

    def session_of(self, layer: Layer) -> Session | None:
        """The analysis of a layer; None for other layers."""
        return next((session for session, each in self._layers if each is layer), None)

    def replaceable(self, session: Session) -> Session | None:
        """The analysis of the same slide and name that nobody corrected: another may take its place."""
        for former, layer in self._layers:
            same = former.slide == session.slide and layer.name == session.name
            if same and former is not session and not former.corrections:
                return former
        return None

    def pass_on(self, former: Session, session: Session) -> None:
        """Let an analysis take the place, and the layer, of a former one, which is closed."""
        layer = self.layer_of(former)
        if layer is not None:
            self._layers = [(session if each is former else each, one) for each, one in self._layers]
        self.state.forget(former)

    def take_edits(self) -> None:
        """Make corrections of labels that were changed in napari's features table, which tells nobody."""
        layer, session = self.layer_of(self.state.session), self.state.session
        if layer is None or session is None or self._busy or np.array_equal(label_codes(layer), self._labels):
            return
        labels = layer.features["label"].astype(object).fillna("").to_numpy(object)
        table = session.table
        if len(labels) != len(table):
            return
        ours = table["label"].to_numpy(object)
        for row in np.flatnonzero(labels != ours).tolist():
            cell = int(table["cell_id"].iloc[row])
            if labels[row]:
                self.state.relabel([cell], str(labels[row]))
            else:
                self._update(np.array([cell]))

    def _show(self) -> None:
        """Fill the layer of the analysis in hand anew."""
        session = self.state.session
        if session is None:
            return
        image = self._image_of(session)
        if image is not None:
            self.state.slide = image
        with self._own():
            layer = self.layer_of(session)
            if layer is None:
                self._make(session)
            else:
                fill_cells(layer, session.table, session.origin, session.taxonomy, self.state.display)
                layer.metadata[LayerKey.ANALYSIS] = (
                    str(session.file.path) if session.file is not None else None
                )
        self._hide()

    def _make(self, session: Session) -> None:
        image = self._image_of(session)
        place = placement(image) if image is not None else None
        data, options, _ = cells_layer(
            session.table, session.origin, session.name, place, session.taxonomy, self.state.display
        )
        if session.file is not None:
            options["metadata"][LayerKey.ANALYSIS] = str(session.file.path)
        self._bind(session, self.state.viewer.add_points(data, **options))

    def _image_of(self, session: Session) -> Image | None:
        """The layer of an analysis's slide."""
        layers = slide_layers(self.state.viewer)
        return next((each for each in layers if str(slide_path(each)) == str(session.slide)), None)

    def _bind(self, session: Session, layer: Points) -> None:
        self._layers.append((session, layer))
        layer.events.data.connect(self._on_data)
        draw_halo(self.state.viewer, layer)
        draw_shown_only(layer)
        draw_text_if_any(self.state.viewer, layer)

    def _update(self, ids: Ids) -> None:
        """Bring the rows of some cells up to date."""
        session = self.state.session
        layer = self.layer_of(session)
        if session is None or layer is None:
            self._show()
            return
        table, there = session.table, layer.features["cell_id"].to_numpy()
        now = table["cell_id"].to_numpy()
        labels, rows = layer.features["label"], session.rows_of(ids)
        # what napari adds may be of no category, and a cell that is classified has other columns, too
        plain = not isinstance(labels.dtype, pd.CategoricalDtype) or (np.asarray(ids) < 0).any()
        same = len(there) == len(now) and np.array_equal(there, now)
        if plain or not same or not set(table["label"].iloc[rows]) <= set(labels.cat.categories):
            self._show()
            return
        with self._own():
            colour_rows(layer, table, rows, session.taxonomy, self.state.display)
            redraw_points(self.state.viewer, layer, rows)
            layer.events.features()
        self._hide()

    def _paint(self) -> None:
        """Give the cells in hand the colours and shapes that are wanted now."""
        session = self.state.session
        layer = self.layer_of(session)
        if session is not None and layer is not None:
            with self._own():
                paint_cells(layer, session.table, session.taxonomy, self.state.display)

    def _hide(self) -> None:
        session = self.state.session
        layer = self.layer_of(session)
        if session is None or layer is None:
            return
        self._labels = label_codes(layer)
        shown = ~session.table["label"].isin(list(self.state.filters.hidden)).to_numpy(bool)
        if not np.array_equal(shown, layer.shown):
            layer.shown = shown

    # what a person does with napari's tools

    def _on_data(self, event: object) -> None:
        layer = getattr(event, "source", None)
        session = self.session_of(layer) if isinstance(layer, Points) else None
        if self._busy or session is None or not isinstance(layer, Points):
            return
        if session is not self.state.session:
            self.state.open(session)
        action = str(getattr(event, "action", ""))
        if action == "added":
            self._added(session, layer)
        elif action == "removed":
            self._removed(session, layer, getattr(event, "data_indices", ()))
        elif action == "changed":
            self._moved(session, layer)

    def _added(self, session: Session, layer: Points) -> None:
        for yx in np.asarray(layer.data)[len(session.table) :]:
            self.state.add((float(yx[-2]), float(yx[-1])))

    def _removed(self, session: Session, layer: Points, indices: object) -> None:
        ids = session.table["cell_id"].to_numpy()
        gone = np.asarray(tuple(indices), np.intp) if isinstance(indices, tuple) else np.zeros(0, np.intp)
        if len(gone) and len(ids) - len(gone) == len(layer.data):
            self.state.delete(ids[gone])
        else:
            self._show()  # all were taken at once: nobody says so of each cell

    def _moved(self, session: Session, layer: Points) -> None:
        table = session.table
        if len(layer.data) != len(table):
            self._show()
            return
        ours = table[["y_px", "x_px"]].to_numpy(np.float64)
        data = np.array(layer.data, np.float64)[:, -2:]
        moved = np.flatnonzero(np.abs(data - ours).max(axis=1, initial=0) > _POSITION_STEP)
        for cell, (y, x) in zip(
            table["cell_id"].to_numpy()[moved].tolist(), data[moved].tolist(), strict=True
        ):
            self.state.move(cell, (y, x))

    def _on_inserted(self, event: object) -> None:
        layer = getattr(event, "value", None)
        if not self._busy and isinstance(layer, Layer):
            self._adopt(layer)

    def _adopt(self, layer: Layer) -> None:
        """Take a layer that a reader made for what it shows: an analysis file, or a table."""
        if not is_cells(layer) or self.session_of(layer) is not None or not isinstance(layer, Points):
            return
        path = layer.metadata.get(LayerKey.ANALYSIS)
        for session in self.state.sessions:
            if session.file is not None and str(session.file.path) == path:
                self.state.open(session)  # it is shown already
                return
        self._bind(session_behind(layer), layer)
        self.state.open(self._layers[-1][0])

    def _on_removed(self, event: object) -> None:
        layer = getattr(event, "value", None)
        session = self.session_of(layer) if isinstance(layer, Points) else None
        if session is None:
            return
        self._layers = [(each, one) for each, one in self._layers if one is not layer]
        # of a run under way the cells come back with the next ones
        if self.state.run is not None:
            return
        if self._would_be_lost(session):
            soon(self.state.viewer, lambda: self._restore(session))
        else:
            self.state.forget(session)

    def _restore(self, session: Session) -> None:
        """Show an analysis again whose layer was removed, unless all layers are gone: the window closes."""
        try:
            alone = not self.state.viewer.layers
        except ReferenceError:
            return
        if alone or session is not self.state.session:
            self.state.forget(session)
            return
        self._put_back.append(session)
        self._show()
        show_warning(
            f"{session.name} is in memory alone, so its layer was put back. Export what you need (Summary); "
            "removed once more, it is gone."
        )

    def _would_be_lost(self, session: Session) -> bool:
        """Whether an analysis, or corrections, are nowhere else and nobody was told so yet."""
        kept_nowhere = session.file is None and (session.analysis is not None or session.corrections)
        return bool(kept_nowhere) and session is self.state.session and session not in self._put_back

    def _on_active(self, event: object) -> None:
        layer = getattr(event, "value", None)
        session = self.session_of(layer) if isinstance(layer, Points) else None
        if not self._busy and session is not None and session is not self.state.session:
            self.state.open(session)

    def _on_move(self, *_: object) -> None:
        self.take_edits()

    @contextmanager
    def _own(self) -> Iterator[None]:
        """While we change a layer ourselves."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before
