"""The dock “Summary”: the differential of the cells layer in hand, live, and its exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from napari.layers import Points
from napari.utils.notifications import show_error, show_info
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.export import write_csv
from napari_deepheme.stats.differential import RULE, Differential
from napari_deepheme.ui.appearance import ZoomFollower
from napari_deepheme.ui.layers import cells_of, is_cells, mark_edits, origin_of
from napari_deepheme.ui.summary_rows import summary_rows
from napari_deepheme.ui.summary_table import SummaryTable
from napari_deepheme.ui.widgets import button, label, tip

if TYPE_CHECKING:
    import napari.viewer

_UPDATE_MS = 250
_CAVEAT = "Intervals: sampling error only, not the model's confusions. Research use only."


class SummaryDock(QWidget):
    """Counts the classes of a cells layer: the selected one, else the newest.

    Parameters
    ----------
    viewer : ViewerModel
        The napari viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Points | None = None
        self._shown_labels: bytes | None = None
        self.header = tip(
            label(),
            "Slide, model, the rule that says which cells are counted, and what of the slide the calls were "
            "matched to (“Advanced” in Classify cells).",
        )
        self.counts = tip(
            label(),
            "Cells to review, squares on the slide, are those the ensemble is unsure of; change a label in "
            "napari's features table.",
        )
        self.table = SummaryTable()
        self.table.ticked.connect(self._hide_unticked)
        self.export_cells_button = button(
            "Export cells…",
            "One line per cell as CSV, with your changes; opens again in napari.",
            self._ask_cells,
        )
        self.export_differential_button = button(
            "Export differential…",
            "One line per class as CSV: count, share, 95 % interval, mean uncertainty.",
            self._ask_differential,
        )
        self._lay_out()
        # napari's features table changes labels without telling anyone, so they are looked at
        self._timer = QTimer(self)
        self._timer.setInterval(_UPDATE_MS)
        self._timer.timeout.connect(self.refresh)
        self._timer.start()
        self._follower = ZoomFollower(viewer)
        self.destroyed.connect(self._follower.stop)
        self._show_nothing()
        self.refresh()

    @property
    def layer(self) -> Points | None:
        """The cells layer summarised; None when there is none."""
        return self._layer

    def refresh(self) -> None:
        """Summarise the layer in hand again, if it or its labels changed."""
        layer = self._layer_in_hand()
        labels = _fingerprint(layer) if layer is not None else None
        if layer == self._layer and labels == self._shown_labels:
            return
        if layer is not None:
            mark_edits(layer)  # also those made while cells still arrived
        self._layer, self._shown_labels = layer, labels
        if layer is None:
            self._show_nothing()
        else:
            self._show(layer)

    def export_cells(self, path: Path) -> None:
        """Write the layer's cells as ``cells.csv``.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        if self._layer is not None:
            write_csv(cells_of(self._layer), path)

    def export_differential(self, path: Path) -> None:
        """Write the differential, one row per class.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        if self._layer is not None:
            write_csv(_differential(self._layer).table(), path)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Let go of the viewer when napari takes the dock out of its window."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._timer.stop()
            self._follower.stop()

    def _layer_in_hand(self) -> Points | None:
        layers = [layer for layer in self._viewer.layers if is_cells(layer)]
        chosen = [layer for layer in layers if layer in self._viewer.layers.selection]
        if self._layer in layers and not chosen:
            return self._layer
        return next(iter(chosen[-1:] or layers[-1:]), None)

    def _show(self, layer: Points) -> None:
        origin, differential = origin_of(layer), _differential(layer)
        model = origin.bundle or "model not recorded"
        lines = [f"{Path(origin.slide).stem} · {model} · rule {RULE}"]
        if origin.matched is not None:
            lines.append(f"matched to the slide: {', '.join(origin.matched) or 'nothing'}")
        self.header.setText("\n".join(lines))
        review = int(layer.features["needs_review"].sum())
        self.counts.setText(
            f"{differential.n_counted} counted of {differential.n_cells} found · {review} to review"
        )
        labels, entropy = _columns(layer)
        hidden = frozenset(labels[~np.asarray(layer.shown)])
        self.table.show_rows(summary_rows(labels.tolist(), entropy, origin.taxonomy), hidden)
        self._hide_unticked()
        self._enable(why="")

    def _show_nothing(self) -> None:
        self.header.setText("No classified cells yet.")
        self.counts.setText("Run “Classify cells”, or open a cells.csv.")
        self.table.show_rows([], frozenset())
        self._enable(why="Classify cells first. ")

    def _enable(self, why: str) -> None:
        for each in (self.export_cells_button, self.export_differential_button):
            each.setEnabled(not why)
        self.table.setVisible(not why)

    def _hide_unticked(self) -> None:
        if self._layer is not None:
            labels, _ = _columns(self._layer)
            shown = ~np.isin(labels, list(self.table.hidden_codes))
            if not np.array_equal(shown, self._layer.shown):
                self._layer.shown = shown

    def _ask_cells(self) -> None:
        self._ask("Export cells", "cells", self.export_cells)

    def _ask_differential(self) -> None:
        self._ask("Export differential", "differential", self.export_differential)

    def _ask(self, title: str, what: str, write: Callable[[Path], None]) -> None:
        if self._layer is None:
            return
        slide = Path(origin_of(self._layer).slide)
        proposal = f"{slide.stem}.{what}.csv"
        chosen, _ = QFileDialog.getSaveFileName(self, title, proposal, "CSV (*.csv)")
        if not chosen:
            return
        path = Path(chosen)
        path = path if path.suffix.lower() == ".csv" else path.with_name(path.name + ".csv")
        try:
            write(path)
        except DeepHemeError as err:
            show_error(str(err))
        else:
            show_info(f"Written: {path}")

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.export_cells_button)
        buttons.addWidget(self.export_differential_button)
        caveat = label(_CAVEAT)
        caveat.setEnabled(False)
        layout = QVBoxLayout(self)
        for widget in (self.header, self.counts):
            layout.addWidget(widget)
        layout.addWidget(self.table, 1)
        layout.addWidget(caveat)
        layout.addLayout(buttons)
        self.setMinimumWidth(420)


def _columns(layer: Points) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Labels and entropies of a layer's cells."""
    features: pd.DataFrame = layer.features
    return features["label"].to_numpy(object), features["entropy"].to_numpy(np.float64)


def _differential(layer: Points) -> Differential:
    labels, entropy = _columns(layer)
    return Differential.of(labels.tolist(), entropy, origin_of(layer).taxonomy)


def _fingerprint(layer: Points) -> bytes:
    """Changes when a label does, or the number of cells."""
    features: pd.DataFrame = layer.features
    return features["label"].cat.codes.to_numpy().tobytes()
