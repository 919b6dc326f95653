"""The dock “Classify cells”: choose a slide, a model and a part of the slide, run, watch, cancel."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QFormLayout, QLabel, QProgressBar, QSpinBox, QVBoxLayout, QWidget

from napari_deepheme.errors import DeepHemeError, ScaleError
from napari_deepheme.jobs import Progress
from napari_deepheme.pipeline import Analysis, AnalysisOptions, CellsReady
from napari_deepheme.ui.appearance import ZoomFollower
from napari_deepheme.ui.model_box import ModelBox
from napari_deepheme.ui.regions import image_shape
from napari_deepheme.ui.run import Request, Results, classify_job, outcome_text, progress_text
from napari_deepheme.ui.slide_box import SlideBox
from napari_deepheme.ui.slides import given_mpp, lacks_mpp, slide_path
from napari_deepheme.ui.where_box import WhereBox
from napari_deepheme.ui.widgets import button, label, tip
from napari_deepheme.ui.worker import JobRun

if TYPE_CHECKING:
    import napari.viewer

_log = logging.getLogger(__name__)
_SHOW_EVERY_MS = 250
_RUN_TIP = (
    "Find the nucleated cells and name each with the model; they appear on the slide as they are found. "
    "The result replaces the former one of this slide, unless you renamed that or changed labels in it."
)


class ClassifyDock(QWidget):
    """Finds and classifies the cells of a slide, and shows them while it runs.

    Parameters
    ----------
    viewer : ViewerModel
        The napari viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.slide_box, self.model_box, self.where_box = SlideBox(viewer), ModelBox(), WhereBox(viewer)
        self.target_spin = _target_spin()
        self.run_button = button("Classify cells", _RUN_TIP, self.start)
        self.cancel_button = button("Cancel", "Stop now; the cells found so far stay.", self.cancel)
        self.bar = QProgressBar()
        self.progress_line = label()
        self.status = label()
        self._run: JobRun | None = None
        self._remark = ""
        self._timer = QTimer(self)
        self._timer.setInterval(_SHOW_EVERY_MS)
        self._timer.timeout.connect(self._show_progress)
        self._lay_out()
        self.slide_box.changed.connect(self._update_controls)
        self.model_box.changed.connect(self._update_controls)
        for box in (self.slide_box, self.model_box):
            box.failed.connect(self._say_error)
        self._update_controls()
        self._release = self._to_release()

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self._run is not None

    def start(self) -> None:
        """Start a run with what the dock says."""
        image, model = self.slide_box.layer, self.model_box.source
        path = slide_path(image) if image is not None else None
        if image is None or path is None or model is None or self.is_running:
            return
        if lacks_mpp(image):
            self.slide_box.ask_mpp()
            self._say_error(
                f"{path.name} does not tell its µm/px: state it above (0.25 for a typical 40× scan)."
            )
            return
        try:
            regions, self._remark = self.where_box.regions(image)
        except DeepHemeError as err:
            self._say_error(str(err))
            return
        options = AnalysisOptions(target_cells=self.target_spin.value(), regions=regions)
        self._begin(Request(path, given_mpp(image), model, options, image_shape(image)), image)

    def _begin(self, request: Request, image: Image) -> None:
        self._results = Results(self._viewer, image)
        self._progress, self._first_at = Progress("Starting"), 0.0
        self._run = JobRun(classify_job(request), self)
        self._run.progressed.connect(self._on_progress)
        self._run.succeeded.connect(self._on_done)
        self._run.failed.connect(self._on_failed)
        self._timer.start()
        self._update_controls()
        self._show_progress()
        self._run.start()

    def cancel(self) -> None:
        """Stop the run; the cells found so far stay."""
        if self._run is None:
            return
        self._end()
        self.status.setText(f"Cancelled: {self._results.n_cells} cells found until then.")

    def _on_progress(self, progress: Progress) -> None:
        if isinstance(progress, CellsReady):
            if not self._first_at:
                self._first_at = time.monotonic()
            if progress.found is not None:
                self._results.add(progress.found)
        self._progress = progress

    def _on_done(self, analysis: Analysis) -> None:
        self._end()
        text = outcome_text(analysis, self.target_spin.value())
        self.status.setText(f"{text}\n{self._remark}".strip())

    def _on_failed(self, err: Exception) -> None:
        self._end()
        if isinstance(err, ScaleError):
            self.slide_box.ask_mpp()
        if isinstance(err, DeepHemeError):
            self._say_error(str(err))
        else:
            _log.error("The classification failed", exc_info=err)
            self._say_error(f"{err} This is a fault of the program; its details are in the log.")

    def _end(self) -> None:
        """Show what is there and be ready for the next run."""
        if self._run is not None:
            self._run.cancel()
        self._run = None
        self._timer.stop()
        self._results.show()
        self._update_controls()

    def _show_progress(self) -> None:
        before = time.monotonic()
        self._results.show()
        # many cells take long to draw: the window must have the larger part of the time
        self._timer.setInterval(max(_SHOW_EVERY_MS, int(4000 * (time.monotonic() - before))))
        progress = self._progress
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        seconds = time.monotonic() - self._first_at if self._first_at else 0.0
        counting = self.target_spin.value() > 0
        self.progress_line.setText(progress_text(progress, self._results.n_cells, seconds, counting=counting))

    def _say_error(self, sentence: str) -> None:
        self.status.setText(f"⚠ {sentence}")
        show_error(sentence)

    def _update_controls(self) -> None:
        why = ""
        if self.slide_box.layer is None:
            why = "Open a slide first."
        elif self.model_box.source is None:
            why = "Choose a model first."
        elif self.is_running:
            why = "A run is under way; cancel it first."
        self.run_button.setEnabled(not why)
        tip(self.run_button, f"{why} {_RUN_TIP}" if why else _RUN_TIP)
        for choice in (self.slide_box, self.model_box, self.where_box, self.target_spin):
            choice.setEnabled(not self.is_running)
        for shown in (self.bar, self.progress_line, self.cancel_button):
            shown.setVisible(self.is_running)
        if not self.is_running:
            self.status.setText(why)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Slide", self.slide_box)
        form.addRow("Model", self.model_box)
        form.addRow("Where", self.where_box)
        form.addRow("Stop at", self.target_spin)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        for widget in (self.run_button, self.bar, self.progress_line, self.cancel_button, self.status):
            layout.addWidget(widget)
        layout.addStretch(1)
        footer = QLabel("Research use only, not for diagnosis.")
        footer.setEnabled(False)
        layout.addWidget(footer)
        self.setMinimumWidth(360)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Let go of the viewer, and end the run, when napari takes the dock out of its window."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._release.close()

    def _to_release(self) -> ExitStack:
        stack = ExitStack()
        for release in (
            ZoomFollower(self._viewer).stop,
            self.slide_box.stop,
            self.where_box.stop,
            self._abandon,
        ):
            stack.callback(release)
        self.destroyed.connect(stack.close)
        return stack

    def _abandon(self) -> None:
        if self._run is not None:
            self._run.cancel()
            self._run = None


def _target_spin() -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(0, 1_000_000)
    spin.setSingleStep(100)
    spin.setSuffix(" cells")
    spin.setSpecialValueText("all cells")
    spin.setValue(AnalysisOptions().target_cells)
    return tip(
        spin,
        "Stop when this many cells that the differential counts are found; 0 classifies all. "
        "ICSH advises 500 for a marrow; more cells narrow the intervals.",
    )
