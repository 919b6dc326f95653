"""Two thresholds that move the counts at once: which finds are cells, and which calls need a person."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QHBoxLayout, QSlider, QWidget

from napari_deepheme.analysis.result import Analysis
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.ui.histogram import UncertaintyHistogram
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.widgets import button, label, tip

_STEPS = 100  # a hundredth of a score or a nat
_WAIT_MS = 150  # while it is dragged, the cells are not counted anew at every step
_DETECTION_TIP = (
    "Detector score from which a find counts as a cell. Lower it to see fainter finds, which were all "
    "classified; raise it to leave out what is no cell. The default follows the slide: films and crowded "
    "marrow differ."
)
_REVIEW_TIP = (
    "Uncertainty (entropy, nats) above which a call needs a person. Only the model's own threshold has the "
    "guarantee on its card."
)


class Threshold(QWidget):
    """A slider with its number and a way back to the default.

    Signals
    -------
    moved : float
        A person chose another value; a moment after the last step.
    """

    moved = Signal(float)

    def __init__(self, name: str, tooltip: str) -> None:
        super().__init__()
        self.slider, self.spin = QSlider(Qt.Orientation.Horizontal), QDoubleSpinBox()
        self.reset_button = button("Default", "Take the default again.", self._reset)
        self.spin.setDecimals(2)
        self.spin.setSingleStep(0.01)
        self.spin.setKeyboardTracking(False)
        for each in (self.slider, self.spin):
            tip(each, tooltip)
            each.setAccessibleName(name)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.spin)
        row.addWidget(self.reset_button)
        self.setFocusProxy(self.slider)
        self._default, self._timer = 0.0, QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(lambda: self.moved.emit(self.spin.value()))
        self.slider.valueChanged.connect(self._on_slider)
        self.spin.valueChanged.connect(self._on_spin)

    def show_value(self, value: float, default: float, bounds: tuple[float, float]) -> None:
        """Show a value without telling anyone."""
        self._default = default
        low, high = bounds
        with QSignalBlocker(self.slider), QSignalBlocker(self.spin):
            self.slider.setRange(round(low * _STEPS), round(high * _STEPS))
            self.spin.setRange(low, high)
            self.slider.setValue(round(value * _STEPS))
            self.spin.setValue(value)
        self.reset_button.setEnabled(abs(value - default) >= 0.5 / _STEPS)

    def _on_slider(self, step: int) -> None:
        with QSignalBlocker(self.spin):
            self.spin.setValue(step / _STEPS)
        self._timer.start()

    def _on_spin(self, value: float) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(value * _STEPS))
        self._timer.start()

    def _reset(self) -> None:
        self.spin.setValue(self._default)


class ThresholdBoxes(QWidget):
    """The detection and the review threshold of the analysis in hand.

    Parameters
    ----------
    state : ViewerState

    Signals
    -------
    cells_asked : None
        A person wants to see the cells of some uncertainties, which are selected now.
    """

    cells_asked = Signal()

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        self.detection = Threshold("Detection threshold", _DETECTION_TIP)
        self.review = Threshold("Review threshold", _REVIEW_TIP)
        self.histogram = UncertaintyHistogram()
        self.line = label()
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("&Detection from", self.detection)
        form.addRow(self.line)
        form.addRow(self.histogram)
        form.addRow("Review a&bove", self.review)
        self.detection.moved.connect(self._detect_from)
        self.review.moved.connect(self._review_above)
        self.histogram.moved.connect(self.review.spin.setValue)
        self.histogram.chosen.connect(self._choose)

    def refresh(self) -> None:
        """Show the thresholds in force; nothing for a table, whose thresholds are past."""
        analysis = self._state.analysis
        self.setVisible(analysis is not None)
        if analysis is None:
            return
        facts, options = analysis.facts, self._state.options
        given = facts.options.cells is not None
        self.detection.setEnabled(not given)
        usual = facts.detection_threshold(AssessmentOptions())
        # cells that a person added have no score
        floor = float(np.fmin.reduce(analysis.cells.score, initial=usual))
        floor = math.floor(floor * _STEPS) / _STEPS
        self.detection.show_value(facts.detection_threshold(options), usual, (floor, 1.0))
        threshold, most = facts.bundle.review.threshold, math.log(len(facts.bundle.taxonomy.classes))
        chosen = threshold if options.review_threshold is None else options.review_threshold
        self.review.show_value(chosen, threshold, (0.0, max(most, chosen)))
        self.histogram.show_values(self._uncertainty, chosen, most)
        self.line.setText(_why(analysis, usual))

    def _detect_from(self, value: float) -> None:
        analysis = self._state.analysis
        if analysis is not None:
            usual = analysis.facts.detection_threshold(AssessmentOptions())
            self._take(detection_threshold=None if abs(value - usual) < 0.5 / _STEPS else value)

    def _review_above(self, value: float) -> None:
        analysis = self._state.analysis
        if analysis is not None:
            usual = analysis.facts.bundle.review.threshold
            self._take(review_threshold=None if abs(value - usual) < 0.5 / _STEPS else value)

    def _choose(self, low: float, high: float) -> None:
        values = self._uncertainty
        ids = self._state.table["cell_id"].to_numpy(np.int64)[(values >= low) & (values < high)]
        if len(ids):
            self._state.select(ids)
            self.cells_asked.emit()

    @property
    def _uncertainty(self) -> NDArray[np.float64]:
        """What the review threshold is for: the entropy under the training prior."""
        return self._state.table["trained_entropy"].to_numpy(np.float64)

    def _take(self, **changes: float | None) -> None:
        self._state.options = replace(self._state.options, **changes)  # type: ignore[arg-type]


def _why(analysis: Analysis, usual: float) -> str:
    """Which default was taken for the slide, and why."""
    facts = analysis.facts
    if facts.options.cells is not None:
        return "The cells were given: none is left out."
    kind = "crowded, as marrow" if facts.calibration.crowded else "a film"
    share = 100 * facts.calibration.crowding
    return f"Default {usual:.2f} for {kind}: {share:.0f} % of its cells touch another."
