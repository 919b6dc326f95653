"""The Summary says whether the slide is one of ours, and a random audit corrects its shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QLabel, QWidget
from review_cells import analysis_of

from napari_deepheme.cells import RawOutputs
from napari_deepheme.stats.assessment import calibrated
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.ui.review.order import Show
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of

PLUGIN = "napari-deepheme"

pytestmark = pytest.mark.viewer


@pytest.fixture
def analysis(smear_path, toy_bundle):
    """An analysis whose model carries calibration cells like its own."""
    made = analysis_of(smear_path, toy_bundle, n=300)
    rng = np.random.default_rng(1)
    raw = RawOutputs(rng.dirichlet(np.full(11, 0.1), (2, 800)), rng.uniform(0, 1, 800))
    probabilities = calibrated(raw, made.facts.bundle.calibration)
    known = CalibrationSet(probabilities, probabilities.argmax(axis=1), raw.distance).take(
        np.arange(300, 800)
    )
    review = made.facts.bundle.review.model_copy(update={"threshold": 1.5})
    bundle = made.facts.bundle.model_copy(update={"review": review})
    facts = replace(made.facts, bundle=bundle, calibration_cells=known.to_bytes())
    return replace(made, facts=facts, raw=raw.take(np.arange(300)))


@pytest.fixture
def docks(make_napari_viewer_proxy, smear_path, analysis):
    viewer = make_napari_viewer_proxy()
    _, docks = viewer.window.add_plugin_dock_widget(PLUGIN, "All docks")
    viewer.window.show()
    docks.setCurrentWidget(docks.summary)
    viewer.open(smear_path, plugin=PLUGIN)
    state_of(viewer).open(Session.of_analysis(analysis, "smear cells"))
    return docks


def test_a_slide_like_ours_is_green_with_corrected_shares(docks, qtbot):
    box = docks.summary.reliability
    qtbot.waitUntil(lambda: "Green" in box.verdict.text(), timeout=60_000)
    assert "Corrected by em" in box.corrected.text()
    assert "L2" in box.corrected.text()
    assert "lie above the review threshold" in box.corrected.text()


class Painted(QObject):
    """Notes the lines that have not all of their height while something is painted."""

    def __init__(self, content):
        super().__init__()
        self.lines, self.squeezed = content.findChildren(QLabel), set()
        for each in content.findChildren(QWidget):
            each.installEventFilter(self)

    def eventFilter(self, _, event):  # noqa: N802 - Qt's name
        if event.type() == QEvent.Type.Paint:
            shown = [each for each in self.lines if each.isVisible()]
            self.squeezed |= {
                each.text() for each in shown if each.heightForWidth(each.width()) > each.height() + 1
            }
        return False


def test_no_line_of_the_summary_is_painted_on_another_when_the_comparison_comes_in(docks, qtbot):
    box = docks.summary.reliability
    qtbot.waitUntil(lambda: "Comparing" in box.verdict.text())
    qtbot.wait(50)
    painted = Painted(box.parentWidget())
    qtbot.waitUntil(lambda: "Green" in box.verdict.text(), timeout=60_000)
    qtbot.wait(50)
    assert not painted.squeezed


def test_an_audit_is_named_in_review_and_corrects_the_shares(docks, qtbot):
    box, state = docks.summary.reliability, docks.summary.state
    qtbot.mouseClick(box.audit_button, Qt.MouseButton.LeftButton)
    assert docks.currentWidget() is docks.review
    reviewer = docks.review.reviewer
    assert reviewer.wanted.show is Show.AUDIT
    assert set(reviewer.ids.tolist()) == set(state.audit)
    assert f"0 of {len(state.audit)} named" in box.audit_button.text()
    told = set()
    while state.audit_waiting:
        told.add(box.watched.text())
        qtbot.keyClick(docks.review.panel.gallery, Qt.Key.Key_Return)
    assert "" in told
    assert any("accepted cells of a random audit" in text for text in told)
    docks.setCurrentWidget(docks.summary)
    qtbot.waitUntil(lambda: "Corrected by audit" in box.corrected.text(), timeout=60_000)
    assert "done" in box.audit_button.text()
    assert "random audit" not in box.corrected.text().replace("a random audit of this slide", "")
