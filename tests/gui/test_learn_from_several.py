"""Learning from the corrections of two slides, by the buttons of the dock “Review”."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QFileDialog

from napari_deepheme import synth
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.analysis.run import analyse_with
from napari_deepheme.jobs import drain
from napari_deepheme.models.device import Device
from napari_deepheme.slide import open_slide
from napari_deepheme.store import signature_of
from napari_deepheme.store.opening import create_analysis
from napari_deepheme.ui.review import keys as review_keys
from napari_deepheme.ui.state import state_of

PLUGIN = "napari-deepheme"
PATIENCE_MS = 120_000

pytestmark = pytest.mark.viewer


@pytest.fixture
def files(tmp_path, toy_bundle):
    """Analyses of three slides by the toy model."""
    engine, made = Engine(toy_bundle, RunOptions(device=Device.CPU)), []
    options = AnalysisOptions(target_cells=0, detector="stain")
    for name in ("first", "second", "third"):
        slide_path = tmp_path / f"{name}.svs"
        drain(synth.write_smear(slide_path, synth.SmearSpec(shape=(640, 640), n_cells=14, seed=len(made))))
        made.append(tmp_path / f"{name}.deepheme.db")
        with (
            open_slide(slide_path) as slide,
            create_analysis(made[-1], signature_of(slide, toy_bundle, options)) as file,
        ):
            drain(analyse_with(engine, slide, options, file))
            file.found_at(str(toy_bundle.root))
    return made


def label_six(state, session):
    """Three cells of each of two classes."""
    state.open(session)
    ids = session.table["cell_id"].tolist()
    state.relabel(ids[:3], "L2")
    state.relabel(ids[3:6], "M6")


def test_analyses_are_offered_chosen_and_learned_from(
    make_napari_viewer_proxy, qtbot, files, tmp_path, monkeypatch
):
    monkeypatch.setattr(review_keys, "KEYS_FILE", tmp_path / "keys.toml")
    viewer = make_napari_viewer_proxy()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Review")
    state, box = state_of(viewer), dock.panel.learn_box
    for path in files:
        viewer.open(path, plugin=PLUGIN)
    first, second, third = state.sessions
    label_six(state, third)
    state.forget(third)  # what was said is in its file
    label_six(state, second)
    label_six(state, first)

    def entries():
        box.labels_button.fill()
        return [each for each in box.labels_button.menu().actions() if each.text()]

    own, other, add = entries()
    assert own.text() == "first.deepheme.db · 6 labels"
    assert own.isChecked() and not own.isEnabled()
    assert other.text() == "second.deepheme.db · 6 labels"
    assert not other.isChecked()
    other.trigger()
    qtbot.waitUntil(lambda: "12 labels of 2 classes in 2 analyses to learn from" in box.line.text())
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(files[2])], ""))
    add.trigger()
    qtbot.waitUntil(lambda: box.labels_button.text() == "Fro&m 3 analyses")
    assert [each.isChecked() for each in entries()[:3]] == [True, True, True]

    qtbot.mouseClick(box.learn_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: state.run is None and state.proposal is not None, timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: "18 labels on 3 slides" in box.line.text())
    assert "judged by what was learned from other slides" in box.line.text()
    split = state.proposal.lesson.adapted.bundle.spec.training.split
    assert split == "cross-validation by slide (3)"
    dock.release()
    state.close()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=PATIENCE_MS)
