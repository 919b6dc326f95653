"""What stands behind the numbers of the Summary: is the slide one of ours, and a random audit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_deepheme.analysis.result import Analysis
from napari_deepheme.errors import DeepHemeError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.widgets import button, label, tip
from napari_deepheme.ui.worker import JobRun

if TYPE_CHECKING:
    from napari_deepheme.export.reliability import Reliability

_AUDIT_CELLS = 50
_LATE_MS = 400
_COMPARING = "Comparing with the calibration cells"
_COLOURS = {"green": "#2ea043", "amber": "#d29922", "red": "#e5484d", "unknown": "#8c8c8c"}
_AUDIT_TIP = (
    "Draws cells at random within each class for you to name in Review. Once all are named, the shares of "
    "this slide follow with an interval that holds for any model and any laboratory."
)
_WATCHED_TIP = (
    "Of the audited cells that need no review: how many the model called wrong, and the risk this leaves "
    "open. You may look, and stop, after any label."
)
_VERDICT_TIP = (
    "Compares the cells with those the model was calibrated on. Only where they are alike do the review "
    "threshold, conformal sets and corrected shares keep what they promise."
)


def reliability_job(analysis: Analysis) -> Job[Reliability]:
    """Compute what stands behind the count of an analysis."""
    yield Progress(_COMPARING)
    from napari_deepheme.export.reliability import reliability_of  # noqa: PLC0415  the dock opens without scipy

    return reliability_of(analysis)


class ReliabilityBox(QWidget):
    """Follows the analysis in hand; computes on a thread, once it is seen and nothing changed for a moment.

    Parameters
    ----------
    state : ViewerState
    on_audit : callable
        Called once cells are drawn, or with a person's wish to go on naming them.

    Signals
    -------
    changed : None
        It says something else, and may need another height.
    """

    changed = Signal()

    def __init__(self, state: ViewerState, on_audit: Callable[[], None]) -> None:
        super().__init__()
        self._state, self._on_audit = state, on_audit
        self._run: JobRun | None = None
        self._is_stale = False
        self.verdict = tip(label(), _VERDICT_TIP)
        self.corrected = tip(
            label(),
            "Shares with the model's confusion taken out, 95 % intervals, and what these hold; how many "
            "cells wait for review, and what may be expected of the others.",
        )
        self.corrected.hide()
        self.watched = tip(label(), _WATCHED_TIP)
        self.audit_button = button("", _AUDIT_TIP, self._audit)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for each in (self.verdict, self.corrected, self.watched, self.audit_button):
            layout.addWidget(each)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_LATE_MS)
        self._timer.timeout.connect(self._compute)
        self._signals = (state.analysis_changed, state.assessment_changed, state.run_changed)
        for signal in self._signals:
            signal.connect(self._later)
        state.cells_changed.connect(self._on_cells)
        self._later()

    def release(self) -> None:
        """Let go of the state and of the thread; once is enough."""
        self._timer.stop()
        self._stop()
        for signal in self._signals:
            signal.disconnect(self._later, missing_ok=True)
        self._state.cells_changed.disconnect(self._on_cells, missing_ok=True)

    def _later(self, *_: object) -> None:
        self._show_audit()
        analysis = self._state.analysis
        ready = analysis is not None and self._state.run is None and len(analysis.ids) > 0
        self._is_stale = ready
        self.setVisible(ready)
        if ready:
            self._start_when_seen()
        else:
            self._timer.stop()
            self._stop()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Compare what changed while nobody looked."""
        super().showEvent(event)
        self._start_when_seen()

    def _start_when_seen(self) -> None:
        if self._is_stale and self.isVisible():
            self._timer.start()

    def _on_cells(self, *_: object) -> None:
        """A label changes the numbers of an audit alone, and those only once it is whole."""
        if self._state.audit and self._state.run is None:
            self._show_audit()
            if not self._state.audit_waiting:
                self._is_stale = True
                self._start_when_seen()

    def _compute(self) -> None:
        if not self.isVisible():
            return  # it was hidden meanwhile: once it is shown again
        self._is_stale = False
        self._stop()
        analysis = self._state.analysis
        if analysis is None:
            return
        self._run = JobRun(reliability_job(analysis), self)
        self._run.succeeded.connect(self._show)
        self._run.failed.connect(self._fail)
        if not self.verdict.text():
            self.verdict.setText(f"{_COMPARING}…")
            self.changed.emit()
        self._run.start()

    def _stop(self) -> None:
        if self._run is not None:
            self._run.cancel()
            self._run = None

    def _show(self, reliability: Reliability) -> None:
        like_ours = reliability.like_ours
        p = "" if math.isnan(like_ours.p) else f" (p = {like_ours.p:.2g})"
        verdict = like_ours.verdict.value
        self.verdict.setText(f"{verdict.capitalize()}{p}: {like_ours.advice}")
        self.verdict.setStyleSheet(f"border-left: 4px solid {_COLOURS[verdict]}; padding-left: 6px;")
        shares, best = reliability.by_code, reliability.best
        # what an audit saw has its own line, as labels come in
        seen = "" if reliability.seen is None else reliability.seen.words
        lines = [reliability.intervals, *(each for each in reliability.review if each != seen)]
        if shares and best is not None:
            lines.insert(0, f"Corrected by {best.method}, %: {' · '.join(_share_texts(shares))}")
        self.corrected.setText("\n".join(lines))
        self.corrected.setVisible(True)
        self.changed.emit()

    def _fail(self, err: Exception) -> None:
        if not isinstance(err, DeepHemeError):
            raise err
        self.verdict.setText(f"⚠ {err}")
        self.corrected.setVisible(False)
        self.changed.emit()

    def _show_audit(self) -> None:
        drawn, waiting = len(self._state.audit), len(self._state.audit_waiting)
        self.watched.setText(self._seen_so_far() if drawn else "")
        self.watched.setVisible(bool(self.watched.text()))
        if waiting:
            self.audit_button.setText(f"&Audit: {drawn - waiting} of {drawn} named, go on in Review")
        elif drawn:
            self.audit_button.setText(f"Audit of {drawn} cells done; draw &another")
        else:
            self.audit_button.setText(f"&Audit {_AUDIT_CELLS} cells drawn at random…")

    def _seen_so_far(self) -> str:
        from napari_deepheme.export.reliability import monitored  # noqa: PLC0415  as above

        seen = None if self._state.analysis is None else monitored(self._state.analysis)
        return "" if seen is None else seen.words

    def _audit(self) -> None:
        if not self._state.audit_waiting:
            try:
                self._state.draw_audit(_AUDIT_CELLS)
            except DeepHemeError as err:
                self.audit_button.setText(str(err))
                return
        self._show_audit()
        self._on_audit()


def _share_texts(shares: Mapping[str, tuple[float, float, float]]) -> Iterator[str]:
    for code, (fraction, low, high) in shares.items():
        yield f"{code} {100 * fraction:.1f} ({100 * low:.1f}–{100 * high:.1f})"
