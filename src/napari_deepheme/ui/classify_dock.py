"""The dock “Classify cells”: choose a slide, a model and a part of the slide, run, watch, cancel."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFormLayout, QProgressBar, QSpinBox, QWidget

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.errors import DeepHemeError, ScaleError
from napari_deepheme.jobs import Progress
from napari_deepheme.ui.added_cells import added_cells_of
from napari_deepheme.ui.advanced_box import AdvancedBox
from napari_deepheme.ui.cells_box import CellsBox
from napari_deepheme.ui.model_box import ModelBox
from napari_deepheme.ui.opening import EarlierButton
from napari_deepheme.ui.run import Request, SlideFile
from napari_deepheme.ui.runner import Runner
from napari_deepheme.ui.sample import SAMPLE
from napari_deepheme.ui.slide_box import SlideBox
from napari_deepheme.ui.slides import lacks_mpp, slide_path
from napari_deepheme.ui.tasks import ClassifyTask, FieldsTask, Task
from napari_deepheme.ui.views import view_of
from napari_deepheme.ui.where_box import Where, WhereBox
from napari_deepheme.ui.widgets import RESEARCH_USE, button, label, scrolled, tip

if TYPE_CHECKING:
    import napari.viewer

_RUN_TIP = (
    "Find the nucleated cells and name each with the model; they appear on the slide as they are found. "
    "The result replaces the former one of this slide, unless you renamed that or changed labels in it."
)
_TARGET_TIP = (
    "Stop when this many cells that the differential counts are found; 0 classifies all. "
    "ICSH advises 500 for a marrow; more cells narrow the intervals."
)
_WARM_MS = 1000  # after the dock came up: it is drawn first
_SAMPLE_CELLS = 300  # of 400, the lower of ICSH's marks
_ALL_GIVEN = "Cells of a layer are all classified: choose “find them” to stop at a number."
_ALL_COUNTS = "“All cells” are those of the whole slide, countable or not."


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
        self._view = view_of(viewer)
        self.state = self._view.state
        self.slide_box, self.model_box = SlideBox(viewer), ModelBox()
        self.where_box, self.cells_box = WhereBox(viewer, self.show_fields), CellsBox(viewer)
        self.earlier_button = EarlierButton(self._view)
        self.target_spin, self.advanced_box = _target_spin(), AdvancedBox()
        self.run_button = button("&Classify cells", _RUN_TIP, self.start)
        self.cancel_button = button("Ca&ncel", "Stop now; the cells found so far stay.", self.cancel)
        self.bar = QProgressBar()
        self.progress_line = label()
        self.status = label()
        self._showed_run = self._closes_with_window = False
        self._warming = QTimer(self)
        self._warming.setSingleShot(True)
        self._warming.timeout.connect(self._load_ahead)
        self._lay_out()
        self.slide_box.changed.connect(self._on_slide)
        self.model_box.changed.connect(self._update_controls)
        self.cells_box.changed.connect(self._update_controls)
        for box in (self.slide_box, self.model_box, self.earlier_button):
            box.failed.connect(self._say_error)
        if self.state.slide in viewer.layers:
            self.slide_box.combo.choose(self.state.slide)
        self._on_slide()
        self._release = self._to_release()
        self._show_run()

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self.state.run is not None

    def start(self) -> None:
        """Start a run with what the dock says."""
        image, model, file = self.slide_box.layer, self.model_box.source, self._slide_file()
        if image is None or model is None or file is None:
            return
        try:
            options, remark = self._options(image)
        except DeepHemeError as err:
            self._say_error(str(err))
            return
        request = Request(file, model, options, self.advanced_box.run_options)
        self._begin(ClassifyTask(self._view, image, request, remark))

    def show_fields(self) -> None:
        """Judge the slide's fields and show them, to be edited before they are counted in."""
        image, file = self.slide_box.layer, self._slide_file()
        if image is not None and file is not None:
            self._begin(FieldsTask(self._viewer, image, file, self.where_box.count_in))

    def _slide_file(self) -> SlideFile | None:
        """The chosen slide's file, unless a run is under way or its µm/px must be asked for first."""
        image = self.slide_box.layer
        file = SlideFile.of(image) if image is not None else None
        if image is None or file is None or self.is_running:
            return None
        if lacks_mpp(image):
            self.slide_box.ask_mpp()
            self._say_error(
                f"{file.path.name} does not tell its µm/px: state it above (0.25 for a typical 40× scan)."
            )
            return None
        return file

    def _options(self, image: Image) -> tuple[AnalysisOptions, str]:
        """What the dock says, and remarks worth showing or nothing."""
        regions, remark = self.where_box.regions(image)
        cells, about_cells = self.cells_box.cells(image)
        target = self.target_spin.value() if cells is None else 0
        everything = not target and cells is None and self.where_box.chosen is Where.COUNTABLE
        whole = _ALL_COUNTS if everything else ""
        options = AnalysisOptions(
            target_cells=target, regions=regions, detector=self.cells_box.detector, cells=cells
        )
        return self.advanced_box.applied(options), "\n".join(filter(None, (remark, about_cells, whole)))

    def _load_ahead(self) -> None:
        """Load the chosen model's networks in the background, so that a run finds them ready."""
        model = self.model_box.source
        if model is not None and not self.is_running:
            options = AnalysisOptions(detector=self.cells_box.detector)
            self.state.networks.warm(model, self.advanced_box.run_options, options)

    def _begin(self, task: Task[Any]) -> None:
        runner = Runner(self.state, task)
        runner.failed.connect(self._on_failed)
        runner.start()

    def cancel(self) -> None:
        """Stop the run; the cells found so far stay."""
        if self.state.run is not None:
            self.state.run.cancel()

    def _on_slide(self) -> None:
        """Follow the chosen slide; of the sample no more cells are asked for than it has."""
        image = self.slide_box.layer
        if image is not self.state.slide:
            self.state.outcome = ""  # it was another slide's
        self.state.slide = image
        usual = AnalysisOptions().target_cells
        if image is not None and slide_path(image) == SAMPLE and self.target_spin.value() == usual:
            self.target_spin.setValue(_SAMPLE_CELLS)
        self._update_controls()

    def _on_failed(self, err: Exception) -> None:
        if isinstance(err, ScaleError):
            self.slide_box.ask_mpp()

    def _show_run(self) -> None:
        """Show how the run goes, or how the last one ended."""
        run = self.state.run
        if (run is not None) is not self._showed_run:
            self._showed_run = run is not None
            self._update_controls()
        if run is not None:
            self._show_bar(run.progress)
            self.progress_line.setText(run.line)
            self.status.setText("")
        elif self.state.outcome:
            self.status.setText(self.state.outcome)

    def _show_bar(self, progress: Progress) -> None:
        """Show how far it is, without Qt's busy bar: its animation draws the whole window all the time."""
        total = max(progress.total, 1)
        if (self.bar.maximum(), self.bar.value()) != (total, progress.done):
            self.bar.setUpdatesEnabled(False)  # each value would draw the whole window at once
            self.bar.setRange(0, total)
            self.bar.setValue(progress.done)
            self.bar.setUpdatesEnabled(True)

    def _say_error(self, sentence: str) -> None:
        self.status.setText(f"⚠ {sentence}")
        if not self.isVisible():  # said once, where the person looks
            show_error(sentence)

    def _update_controls(self) -> None:
        no_slide = "" if self.slide_box.layer is not None else "Open a slide first."
        no_model = "" if self.model_box.source is not None else "Choose a model first."
        busy = "A run is under way; cancel it first." if self.is_running else ""
        why = no_slide or no_model or busy
        self.run_button.setEnabled(not why)
        tip(self.run_button, f"{why} {_RUN_TIP}" if why else _RUN_TIP)
        self.where_box.allow_show(no_slide or busy)
        self.earlier_button.follow(self.slide_box.layer)
        if self.is_running:
            self.earlier_button.setEnabled(False)
        for choice in (self.slide_box, self.model_box, self.where_box, self.cells_box, self.advanced_box):
            choice.setEnabled(not self.is_running)
        given = self.cells_box.layer is not None
        tip(self.target_spin, f"{_ALL_GIVEN} {_TARGET_TIP}" if given else _TARGET_TIP)
        self.target_spin.setEnabled(not self.is_running and not given)
        for shown in (self.bar, self.progress_line, self.cancel_button):
            shown.setVisible(self.is_running)
        if not self.is_running:
            self.status.setText(why or self.state.outcome)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("&Slide", self.slide_box)
        form.addRow("", self.earlier_button)
        form.addRow("&Model", self.model_box)
        form.addRow("Whe&re", self.where_box)
        form.addRow("C&ells", self.cells_box)
        form.addRow("S&top at", self.target_spin)
        _, layout = scrolled(self, 360)
        layout.addLayout(form)
        layout.addWidget(self.advanced_box)
        for widget in (self.run_button, self.bar, self.progress_line, self.cancel_button, self.status):
            layout.addWidget(widget)
        layout.addStretch(1)
        layout.addWidget(label(RESEARCH_USE))

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Close the files, and end the run, with the window; load the networks once it is at rest."""
        super().showEvent(event)
        self._warming.start(_WARM_MS)
        added_cells_of(self.state).go_live()
        window = self.window()
        if window is not None and window is not self and not self._closes_with_window:
            self._closes_with_window = True
            window.destroyed.connect(self.state.close)

    def release(self) -> None:
        """Let go of the viewer; once is enough."""
        self._release.close()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Let go of the viewer when napari takes the dock out of its window; a run goes on."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()

    def _to_release(self) -> ExitStack:
        stack = ExitStack()
        for release in (self.slide_box.stop, self.where_box.stop, self.cells_box.stop, self._unwatch):
            stack.callback(release)
        self.state.run_changed.connect(self._show_run)
        self.state.run_came_on.connect(self._show_run)
        self.state.watched += 1
        self.destroyed.connect(stack.close)
        return stack

    def _unwatch(self) -> None:
        self.state.watched -= 1
        self.state.run_changed.disconnect(self._show_run)
        self.state.run_came_on.disconnect(self._show_run)


def _target_spin() -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(0, 1_000_000)
    spin.setSingleStep(100)
    spin.setSuffix(" cells")
    spin.setSpecialValueText("all cells")
    spin.setValue(AnalysisOptions().target_cells)
    return spin
