"""The review in a real napari window, by keyboard and mouse."""

from __future__ import annotations

import threading

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QCoreApplication, QEvent, QPoint, Qt
from review_cells import analysis_of

from napari_deepheme.slide import open_slide
from napari_deepheme.ui.napari_versions import camera_of
from napari_deepheme.ui.review import keys as review_keys
from napari_deepheme.ui.review.crops import CropReader, CropRequest
from napari_deepheme.ui.review.dock import ReviewDock
from napari_deepheme.ui.review.gallery import Gallery
from napari_deepheme.ui.review.key_editor import KeyEditor
from napari_deepheme.ui.review.keys import HEMELABEL
from napari_deepheme.ui.review.order import CellFilter, Order, Show
from napari_deepheme.ui.review.reviewer import Reviewer
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of

PLUGIN = "napari-deepheme"
PATIENCE_MS = 120_000
KEY = Qt.Key

pytestmark = pytest.mark.viewer


class Window:
    """The window with the smear and the dock, as a person has it; counts key presses."""

    def __init__(self, viewer, qtbot, analysis, smear_path):
        self.viewer, self.qtbot, self.presses = viewer, qtbot, 0
        (self.image,) = viewer.open(smear_path, plugin=PLUGIN)
        self.dock = ReviewDock(viewer)
        viewer.window.add_dock_widget(self.dock, name="Review", area="right")
        self.state = self.dock.state
        self.state.slide = self.image
        self.state.open(Session.of_analysis(analysis, "smear"))
        self.reviewer, self.gallery = self.dock.reviewer, self.dock.panel.gallery

    def press(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        self.presses += 1
        self.qtbot.keyClick(self.gallery, key, modifier)

    def label_of(self, cell):
        return self.state.session.label_of(cell)

    def wait(self, condition):
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)


@pytest.fixture
def window(make_napari_viewer_proxy, qtbot, smear_path, toy_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(review_keys, "KEYS_FILE", tmp_path / "keys.toml")
    window = Window(make_napari_viewer_proxy(), qtbot, analysis_of(smear_path, toy_bundle), smear_path)
    yield window
    window.dock.release()
    window.state.close()
    assert not [each for each in threading.enumerate() if each.name == "deepheme-crops"]


def test_ninety_doubtful_cells_without_the_mouse(window):
    """One press a cell: accept or a class, with mistakes taken back."""
    assert len(window.reviewer) == 90
    assert window.dock.panel.count.text() == "changed 0 of 90 · 90 to review"
    for i in range(90):
        cell = window.reviewer.current_id
        if i % 3:
            before = window.label_of(cell)
            window.press(KEY.Key_Return)
            assert window.label_of(cell) == before
        else:
            window.press(KEY.Key_3)
            assert window.label_of(cell) == window.dock.keys.codes["3"]
        if i % 10 == 9:  # a wrong key: back, and the right one
            window.press(KEY.Key_Z, Qt.KeyboardModifier.ControlModifier)
            assert window.reviewer.current_id == cell
            window.press(KEY.Key_2)
            assert window.label_of(cell) == window.dock.keys.codes["2"]
    assert window.reviewer.n_waiting == 0
    assert window.dock.panel.count.text() == "changed 90 of 90 · 0 to review"
    assert window.presses <= 120


def test_keys_act_and_say_what_they_did(window):
    first = window.reviewer.current_id
    was, m3 = window.label_of(first), window.dock.keys.codes["3"]
    window.press(KEY.Key_3)
    assert window.dock.panel.message.text() == f"{was} → {m3} · Ctrl-Z"
    second = window.reviewer.current_id
    window.press(KEY.Key_X)
    assert second not in window.state.table["cell_id"].tolist()
    window.press(KEY.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert window.dock.panel.message.text().endswith("Ctrl-Shift-Z")
    assert window.reviewer.current_id == second
    window.press(KEY.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert second not in window.state.table["cell_id"].tolist()
    for _ in range(2):
        window.press(KEY.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert window.label_of(first) == was
    window.press(KEY.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert window.dock.panel.message.text() == "Nothing to undo."
    window.press(KEY.Key_Home)
    window.press(KEY.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    window.press(KEY.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    three = window.reviewer.selected
    assert len(three) == 3
    window.press(KEY.Key_1)
    assert {window.label_of(cell) for cell in three} == {window.dock.keys.codes["1"]}
    window.press(KEY.Key_Home)
    window.press(KEY.Key_N)
    assert window.reviewer.current == 3


def test_gallery_slide_and_state_show_the_same_cell(window):
    tile = window.gallery.tile_box(2).center()
    window.qtbot.mouseClick(window.gallery.viewport(), Qt.MouseButton.LeftButton, pos=tile)
    cell = window.reviewer.current_id
    assert window.reviewer.current == 2
    assert window.state.current == cell
    row = window.reviewer.row()
    world = window.image.data_to_world((row["y_px"], row["x_px"], 0)[: window.image.ndim])
    assert tuple(camera_of(window.viewer).center[-2:]) == pytest.approx(tuple(world[-2:]), abs=1e-3)
    assert "cell in review" in window.viewer.layers
    other = int(window.reviewer.ids[70])
    window.state.select([other], other)  # as a click on a point of the slide does
    assert window.reviewer.current_id == other
    assert window.gallery.viewport().rect().contains(window.gallery.tile_box(70))
    assert window.dock.panel.what.text().startswith(f"cell {other} ")


def test_the_camera_is_led_only_by_a_person_who_reviews(window):
    camera, row = camera_of(window.viewer), window.reviewer.row()
    at_first = camera.center
    camera.center = (0.0, 1.0, 1.0)
    window.state.relabel([int(window.reviewer.ids[5])], "M3")  # as from elsewhere: the list is made anew
    window.dock._catch_up()
    assert tuple(camera.center) == (0.0, 1.0, 1.0)
    window.dock.hide()
    (marker,) = [layer for layer in window.viewer.layers if layer.name == "cell in review"]
    assert len(marker.data) == 0
    window.press(KEY.Key_N)
    assert tuple(camera.center) == (0.0, 1.0, 1.0)
    window.reviewer.go_to(int(row["cell_id"]))
    window.dock.show()
    window.dock.showEvent(None)  # the window of a test is never on a screen
    assert len(marker.data) == 1
    assert tuple(camera.center) == tuple(at_first)


def test_crops_come_from_the_file(window):
    request = CropRequest(*window.reviewer.tile(0).yx)
    window.wait(lambda: window.gallery._reader.get(request) is not None)
    window.qtbot.keyPress(window.gallery, KEY.Key_Space)
    window.wait(lambda: not window.gallery._preview.pixmap().isNull())
    assert window.gallery._preview.isVisible()
    window.qtbot.keyRelease(window.gallery, KEY.Key_Space)
    assert not window.gallery._preview.isVisible()


def test_filters_orders_and_dragging_to_another_class(window):
    dock = window.dock
    dock.show_cells(CellFilter(Show.ALL))
    assert len(window.reviewer) == 500
    dock.panel.filters.order_combo.setCurrentIndex(dock.panel.filters.order_combo.findData(Order.POSITION))
    assert window.reviewer.order is Order.POSITION
    dock.panel.filters.group_check.setChecked(True)
    assert len(window.reviewer.groups) == 11
    window.gallery.verticalScrollBar().setValue(0)
    (code, n), (other, _) = window.reviewer.groups[:2]
    cell = int(window.reviewer.ids[n - 1])
    window.gallery.verticalScrollBar().setValue(window.gallery.grid.place(n - 1)[1])
    start, end = window.gallery.tile_box(n - 1).center(), window.gallery.tile_box(n).center()
    port, left = window.gallery.viewport(), Qt.MouseButton.LeftButton
    window.qtbot.mousePress(port, left, pos=start)
    window.qtbot.mouseMove(port, start + QPoint(0, 20))
    window.qtbot.mouseMove(port, end)
    window.qtbot.mouseRelease(port, left, pos=end)
    assert (code, window.label_of(cell)) == (code, other)


def test_ones_own_keys_are_kept_and_conflicts_refused(window, qtbot):
    editor = KeyEditor(tuple(window.dock.choice.classes.values()), window.dock.keys, window.dock)
    editor.fields["M2"].setText("9")
    editor.fields["L2"].setText("9")
    editor.accept()
    assert "already means" in editor.message.text()
    window.qtbot.mouseClick(editor.hemelabel_button, Qt.MouseButton.LeftButton)
    editor.accept()
    assert editor.keys.codes == HEMELABEL
    window.dock.choice.take(editor.keys)
    first = window.reviewer.current_id
    window.press(KEY.Key_X)  # a class now, no longer “no cell”
    assert window.label_of(first) == "ER2"
    second = window.reviewer.current_id
    window.press(KEY.Key_Delete)
    assert second not in window.state.table["cell_id"].tolist()


def test_after_release_nothing_listens(window):
    others = list(window.viewer.mouse_drag_callbacks)
    window.dock.panel.add_button.click()
    assert len(window.viewer.mouse_drag_callbacks) == len(others) + 1
    window.dock.release()
    assert window.viewer.mouse_drag_callbacks == others
    window.state.relabel([int(window.reviewer.ids[0])], "M1")
    assert window.dock.panel.message.text() == ""


def test_a_gallery_that_is_destroyed_leaves_no_thread(qtbot, smear_path):
    """As when the window goes, without a word to the dock."""
    reviewer = Reviewer(state_of(ViewerModel()))
    gallery = Gallery(reviewer, lambda code: "#ffffff", lambda code: code)
    gallery.set_reader(CropReader(lambda: open_slide(smear_path), (1.0, 1.0), gallery.announce))
    gallery._reader.get(CropRequest(100.0, 100.0))
    assert [each for each in threading.enumerate() if each.name == "deepheme-crops"]
    gallery.deleteLater()
    QCoreApplication.sendPostedEvents(gallery, QEvent.Type.DeferredDelete)
    assert not [each for each in threading.enumerate() if each.name == "deepheme-crops"]
