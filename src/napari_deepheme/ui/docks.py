"""All docks in one: “Plugins ▸ DeepHeme ▸ All docks” shows them as tabs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QTabWidget

from napari_deepheme.ui.classify_dock import ClassifyDock
from napari_deepheme.ui.preference import prefer_our_tables
from napari_deepheme.ui.review.dock import ReviewDock
from napari_deepheme.ui.review.order import CellFilter, Show
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
        self.classify, self.summary, self.review = (
            ClassifyDock(viewer),
            SummaryDock(viewer),
            ReviewDock(viewer),
        )
        self.addTab(self.classify, "&1 Classify")
        self.addTab(self.summary, "&2 Summary")
        self.addTab(self.review, "&3 Review")
        self.summary.review_button.clicked.connect(lambda: self.setCurrentWidget(self.review))
        self.summary.audit_asked.connect(self._review_audit)
        self.summary.cells_asked.connect(self._review_selected)
        self.summary.class_asked.connect(self._review_class)
        self.setAccessibleName("DeepHeme")
        prefer_our_tables()
        self._state = state_of(viewer)
        self._state.counted.connect(self._show_numbers)
        self._release = ExitStack()
        self._release.callback(self._state.counted.disconnect, self._show_numbers)
        for dock in (self.classify, self.summary, self.review):
            self._release.callback(dock.release)
        self.destroyed.connect(self._release.close)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Let go of the viewer when napari takes the dock out of its window."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._release.close()

    def _review_audit(self) -> None:
        """Show the cells drawn for an audit."""
        self.setCurrentWidget(self.review)
        self.review.show_cells(CellFilter(Show.AUDIT))

    def _review_selected(self) -> None:
        """Show all cells, with those selected still selected."""
        selected = self._state.selection
        self.setCurrentWidget(self.review)
        self.review.show_cells(CellFilter(Show.ALL))
        self._state.select(selected)

    def _review_class(self, code: str) -> None:
        """Show the cells of a class."""
        self.setCurrentWidget(self.review)
        self.review.show_cells(CellFilter(Show.ALL, label=code))

    def _show_numbers(self) -> None:
        """Once a run is over, unless it found nothing."""
        if len(self._state.table):
            self.setCurrentWidget(self.summary)


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
