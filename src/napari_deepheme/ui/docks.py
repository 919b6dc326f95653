"""All docks in one: “Plugins ▸ DeepHeme ▸ All docks” shows them as tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QTabWidget

from napari_deepheme.ui.classify_dock import ClassifyDock
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.summary_dock import SummaryDock

if TYPE_CHECKING:
    import napari.viewer

PLUGIN = "napari-deepheme"
ALL_DOCKS = "All docks"


class AllDocks(QTabWidget):
    """The docks as tabs; after a run the Summary comes up.

    Parameters
    ----------
    viewer : ViewerModel
        The napari viewer they work in.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel) -> None:
        super().__init__()
        self.classify, self.summary = ClassifyDock(viewer), SummaryDock(viewer)
        self.addTab(self.classify, "&1 Classify")
        self.addTab(self.summary, "&2 Summary")
        self.setAccessibleName("DeepHeme")
        self._state = state_of(viewer)
        self._was_running = self._state.run is not None
        self._state.run_changed.connect(self._on_run)
        self.destroyed.connect(self._let_go)

    def _on_run(self) -> None:
        """Show the numbers once a run is over, unless it failed or found nothing."""
        running = self._state.run is not None
        ended, self._was_running = self._was_running and not running, running
        if ended and len(self._state.table) and not self._state.outcome.startswith(("⚠", "Cancelled")):
            self.setCurrentWidget(self.summary)

    def _let_go(self) -> None:
        self._state.run_changed.disconnect(self._on_run, missing_ok=True)


def open_docks() -> None:
    """Open the docks in the current window, or bring them to the front."""
    viewer = napari.current_viewer()
    window = getattr(viewer, "window", None)
    if window is not None:
        window.add_plugin_dock_widget(PLUGIN, ALL_DOCKS)


def open_docks_soon() -> None:
    """Open the docks once the window is at rest; nothing without a window."""
    if getattr(napari.current_viewer(), "window", None) is not None:
        QTimer.singleShot(0, open_docks)
