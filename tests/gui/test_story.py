"""The whole of it in a real window: classify, review, add, learn, use, sign, export, close and open again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QFileDialog

from napari_deepheme.export import read_cells_csv
from napari_deepheme.export.counts import differential_of
from napari_deepheme.export.table import cells_table
from napari_deepheme.store import open_analysis
from napari_deepheme.ui.added_cells import added_cells_of
from napari_deepheme.ui.layers import is_cells
from napari_deepheme.ui.napari_versions import camera_of, view_px
from napari_deepheme.ui.review import keys as review_keys
from napari_deepheme.ui.review import sign_box
from napari_deepheme.ui.review.order import CellFilter, Show
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.where_box import Where

PLUGIN = "napari-deepheme"
PATIENCE_MS = 120_000
KEY, NO_MODIFIER, CTRL = Qt.Key, Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier

pytestmark = pytest.mark.viewer


class Window:
    """The window with all docks, and the hands of a person."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot = viewer, qtbot
        viewer.window.resize(1280, 800)
        _, self.docks = viewer.window.add_plugin_dock_widget(PLUGIN, "All docks")
        self.classify, self.summary, self.review = self.docks.classify, self.docks.summary, self.docks.review
        self.learn_box = self.review.panel.learn_box
        self.state = state_of(viewer)
        added_cells_of(self.state).go_live()  # as when the dock comes up on a screen
        viewer.window.show()  # Summary counts while it is seen

    def click(self, button):
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def press(self, key, modifier=NO_MODIFIER):
        self.qtbot.keyClick(self.review.panel.gallery, key, modifier)

    def key_of(self, code):
        self.qtbot.keyClick(self.review.panel.gallery, self.review.keys.key_of(code))

    def wait(self, condition):
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    @property
    def cells(self):
        (layer,) = [layer for layer in self.viewer.layers if is_cells(layer)]
        return layer


@pytest.fixture
def window(make_napari_viewer_proxy, qtbot, toy_bundle_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(review_keys, "KEYS_FILE", tmp_path / "keys.toml")
    window = Window(make_napari_viewer_proxy(), qtbot)
    window.classify.model_box.add(toy_bundle_folder)
    yield window
    window.docks.review.release()
    window.state.close()
    window.wait(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)


def classify(window):
    """Of the sample what is in view: some thirty cells."""
    window.viewer.open_sample(PLUGIN, "blood_smear")
    camera_of(window.viewer).center = (0, 300, 300)
    camera_of(window.viewer).zoom = max(view_px(window.viewer)) / 260
    window.classify.where_box.radios[Where.VIEW].click()
    window.classify.cells_box.setCurrentText("find them by stain")
    window.classify.target_spin.setValue(0)
    window.click(window.classify.run_button)
    window.wait(lambda: not window.classify.is_running)
    assert window.docks.currentWidget() is window.summary
    assert len(window.state.table) > 15


def review(window):
    """Eight cells by key, a wrong one taken back."""
    window.click(window.summary.review_button)
    window.review.show_cells(CellFilter(Show.ALL))
    assert not window.learn_box.learn_button.isEnabled()
    assert "none yet" in window.learn_box.line.text()
    window.press(KEY.Key_Home)
    for code in ("L4", "L4", "L4", "L4", "M6", "M6", "M6", "M2"):
        window.key_of(code)
    wrong = window.state.table["label"].tolist().count("M2")
    window.press(KEY.Key_Z, CTRL)
    assert window.state.table["label"].tolist().count("M2") == wrong - 1
    window.key_of("M6")
    assert (window.state.table["label_source"] == "person").sum() == 8


def add_and_delete(window):
    """One cell by napari's own tool, which the model names at once and a person accepts; another is none."""
    for yx in ((1200.0, 1200.0), (1000.0, 1100.0)):
        window.cells.add([yx])
    window.wait(lambda: not len(window.state.session.unasked()))
    table = window.state.table.set_index("cell_id")
    assert (table.loc[[-1, -2], "label"] == table.loc[[-1, -2], "class"]).all()
    window.review.show_cells(CellFilter(Show.ADDED))
    window.wait(lambda: len(window.review.reviewer) == 2)
    window.review.reviewer.go_to(-1)
    assert "votes" in window.review.panel.why.text() or "added by a person" in window.review.panel.why.text()
    window.press(KEY.Key_Return)
    window.review.reviewer.go_to(-2)
    window.press(KEY.Key_X)
    assert window.state.table["cell_id"].tolist()[-1] == -1
    assert window.state.table["label_source"].tolist()[-1] == "person"


def learn(window):
    """Learn, look, use."""
    box, before = window.learn_box, window.state.table.copy()
    window.wait(box.learn_button.isEnabled)
    window.click(box.learn_button)
    window.wait(lambda: window.state.run is None and window.state.proposal is not None)
    window.wait(lambda: "calls would change" in box.line.text())
    pd.testing.assert_frame_equal(window.state.table, before)
    window.click(box.use_button)
    settled = (before["label_source"] == "person").to_numpy()
    np.testing.assert_array_equal(window.state.table["label"][settled], before["label"][settled])
    assert window.state.session.origin.bundle.endswith("-learned 1")


def test_from_the_sample_to_the_file_opened_again(window, own_folder, tmp_path, monkeypatch):
    classify(window)
    review(window)
    add_and_delete(window)
    learn(window)
    monkeypatch.setattr(sign_box, "_agreed", lambda *_: True)
    window.wait(window.learn_box.sign_button.isEnabled)
    window.click(window.learn_box.sign_button)
    exported = tmp_path / "cells.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(exported), ""))
    window.docks.setCurrentWidget(window.summary)
    entries = window.summary.export_menu.entries.values()
    window.wait(lambda: all(entry.isEnabled() for entry in entries))
    next(iter(entries)).trigger()
    window.wait(lambda: not window.summary.export_menu.is_writing)
    window.wait(lambda: "Reviewed by" in window.summary.header.text())
    table, header = window.state.table.copy(), window.summary.header.text()
    counts = {row.cell_class.code: row.count for row in window.state.session.differential.rows}
    (path,) = own_folder.glob("*.deepheme.db")

    window.viewer.layers.clear()
    assert window.state.session is None
    window.viewer.open(path, plugin=PLUGIN)
    pd.testing.assert_frame_equal(window.state.table, table)
    window.wait(lambda: window.summary.header.text() == header)
    assert "learned from 8 labels" in header
    pd.testing.assert_frame_equal(read_cells_csv(exported), table, check_dtype=False)
    window.state.close()
    with open_analysis(path) as file:  # as the command line does
        analysis = file.analysis()
    pd.testing.assert_frame_equal(cells_table(analysis), table)
    assert {row.cell_class.code: row.count for row in differential_of(analysis).rows} == counts
