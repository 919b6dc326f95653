"""A real napari window, used as a person uses it."""

from __future__ import annotations

from contextlib import closing
from threading import Event

import napari
import numpy as np
import pandas as pd
import pytest
from napari._app_model import get_app_model
from PIL import Image
from qtpy.QtCore import QEvent, QObject, Qt, QThreadPool
from qtpy.QtGui import QMovie
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import CellsReady
from napari_deepheme.analysis.run import analyse, analyse_with
from napari_deepheme.export import cells_table, read_cells_csv
from napari_deepheme.jobs import Progress, drain
from napari_deepheme.slide import open_slide
from napari_deepheme.stats.differential import Differential
from napari_deepheme.store import open_analysis
from napari_deepheme.ui import run, runner
from napari_deepheme.ui.layers import cells_of, is_cells
from napari_deepheme.ui.napari_versions import camera_of, still_activity, unwrapped, view_px
from napari_deepheme.ui.networks import Networks
from napari_deepheme.ui.slides import is_fields
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.where_box import Where

PLUGIN = "napari-deepheme"
PATIENCE_MS = 120_000

pytestmark = pytest.mark.viewer


class Window:
    """The window with both docks open, as from the Plugins menu."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot = viewer, qtbot
        _, self.classify = viewer.window.add_plugin_dock_widget(PLUGIN, "Classify cells")
        _, self.summary = viewer.window.add_plugin_dock_widget(PLUGIN, "Summary")
        viewer.window.show()  # a Summary that nobody sees counts nothing

    def click(self, button):
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def run(self, target=0):
        self.classify.target_spin.setValue(target)
        self.click(self.classify.run_button)
        self.wait(lambda: not self.classify.is_running)

    def wait(self, condition):
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    @property
    def state(self):
        return state_of(self.viewer)

    @property
    def cells(self):
        return [layer for layer in self.viewer.layers if is_cells(layer)]

    def table_column(self, column):
        table = self.summary.table
        return {table.text(row, 0): table.text(row, column) for row in range(table.rowCount())}


@pytest.fixture
def window(make_napari_viewer_proxy, qtbot, toy_bundle_folder):
    window = Window(make_napari_viewer_proxy(), qtbot)
    # what “Other…” does once a folder is chosen
    window.classify.model_box.add(toy_bundle_folder)
    yield window
    window.classify.cancel()
    window.wait(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)


@pytest.fixture
def with_slide(window, smear_path):
    window.viewer.open(smear_path, plugin=PLUGIN)
    return window


@pytest.fixture
def endless(monkeypatch):
    """Makes a run go on for ever once it has found its first cells; tells when it was closed."""
    closed = Event()

    def analyse_for_ever(*given):
        with closing(analyse_with(*given)) as job:
            try:
                for progress in job:
                    yield progress
                    if isinstance(progress, CellsReady) and progress.found is not None:
                        break
                while not closed.wait(0.01):
                    yield Progress("still at it", 1, 2)
            finally:
                closed.set()

    monkeypatch.setattr(run, "analyse_with", analyse_for_ever)
    yield closed
    closed.set()


def test_classify_a_slide_and_read_the_summary(with_slide, smear_path, toy_bundle):
    with_slide.run()
    with open_slide(smear_path) as slide:
        analysis = drain(analyse(slide, toy_bundle, AnalysisOptions(target_cells=0)))
    (layer,) = with_slide.cells
    wanted = cells_table(analysis)
    pd.testing.assert_frame_equal(cells_of(layer), wanted)
    image = with_slide.viewer.layers["smear"]
    np.testing.assert_allclose(layer.data_to_world(layer.data[0]), image.data_to_world(layer.data[0]))

    differential = Differential.of(wanted["label"], wanted["entropy"].to_numpy(), toy_bundle.spec.taxonomy)
    counts = {row.cell_class.name: str(row.count) for row in differential.rows}
    with_slide.wait(lambda: counts.items() <= with_slide.table_column(1).items())
    assert f"{differential.n_counted} counted of {len(wanted)} found" in with_slide.summary.counts.text()
    assert "knows no blasts" in with_slide.classify.model_box.line.text()
    how_it_ended = with_slide.classify.status.text()
    assert "counted" in how_it_ended
    with_slide.viewer.add_points(np.zeros((1, 2)))  # a layer more changes nothing about that
    assert with_slide.classify.status.text() == how_it_ended


def test_what_is_matched_can_be_switched_off_and_the_summary_says_so(with_slide):
    box = with_slide.classify.advanced_box
    assert not box.isExpanded()
    assert box.applied(AnalysisOptions(target_cells=7)) == AnalysisOptions(target_cells=7)
    box.expand()
    with_slide.classify.model_box.combo.setCurrentIndex(0)  # the embedded one; the toy knows nothing to match
    with_slide.run()
    with_slide.wait(lambda: "slide: stain, class prior" in with_slide.summary.header.text())
    box.stain_check.setChecked(False)
    box.prior_check.setChecked(False)
    box.precision_combo.setCurrentText("fp16")
    box.device_combo.setCurrentText("cpu")
    with_slide.run()
    assert "Precision fp16 needs a GPU" in with_slide.classify.status.text()
    box.precision_combo.setCurrentText("fp32")
    with_slide.run()
    with_slide.wait(lambda: "matched to the slide: nothing" in with_slide.summary.header.text())


def test_cancel_answers_at_once_and_keeps_the_cells(with_slide, endless):
    dock = with_slide.classify
    with_slide.click(dock.run_button)
    with_slide.wait(lambda: with_slide.cells)
    found = len(with_slide.cells[0].data)
    with_slide.click(dock.cancel_button)
    assert not dock.is_running
    assert dock.run_button.isEnabled()
    assert "Cancelled" in dock.status.text()
    assert len(with_slide.cells[0].data) >= found > 0
    with_slide.wait(endless.is_set)


def test_a_slide_without_scale_asks_for_it(window, smear_path, tmp_path):
    dock, path = window.classify, tmp_path / "field.png"
    assert "Open a slide first" in dock.status.text()
    assert "No classified cells" in window.summary.header.text()
    assert not dock.run_button.isEnabled()
    with open_slide(smear_path) as slide:
        Image.fromarray(slide.level_pixels(0, (0, 0, 512, 512))).save(path)
    window.viewer.open(path, plugin=PLUGIN)
    window.run()
    assert "field.png does not tell its µm/px" in dock.status.text()
    assert not window.cells
    dock.slide_box.mpp_spin.setValue(0.25)
    dock.slide_box.apply_mpp()
    assert "0.25 µm/px (given by the user)" in dock.slide_box.mpp_line.text()
    window.run()
    assert "found" in dock.status.text() or "No cells" in dock.status.text()
    np.testing.assert_array_equal(window.viewer.layers["field"].scale, (0.25, 0.25))


def test_exported_cells_open_again(with_slide, tmp_path, monkeypatch):
    with_slide.run(target=5)
    (layer,) = with_slide.cells
    ours, saved = tmp_path / "ours", tmp_path / "saved.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(ours), ""))
    entries = with_slide.summary.export_menu.entries.values()
    with_slide.wait(lambda: all(entry.isEnabled() for entry in entries))
    next(iter(entries)).trigger()
    with_slide.wait(lambda: not with_slide.summary.export_menu.is_writing)
    with_slide.viewer.layers.selection = {layer}
    assert with_slide.viewer.layers.save(str(saved), selected=True) == [str(saved)]
    for path in (ours.with_name("ours.csv"), saved):
        pd.testing.assert_frame_equal(read_cells_csv(path), cells_of(layer), check_dtype=False)
        (back,) = with_slide.viewer.open(path, plugin=PLUGIN)
        np.testing.assert_array_equal(back.border_color, layer.border_color)
        np.testing.assert_allclose(back.scale, layer.scale)
    with_slide.wait(lambda: with_slide.state.session.name == back.name)
    with_slide.wait(lambda: with_slide.summary.header.text().startswith("saved"))
    assert with_slide.summary.header.text().startswith("saved")


def test_an_edited_label_counts_and_a_class_can_be_hidden(with_slide):
    with_slide.run()
    (layer,) = with_slide.cells
    with_slide.wait(lambda: with_slide.summary.table.rowCount() > 0)
    before = with_slide.table_column(1)
    other = next(code for code in ("L2", "MO2") if code != layer.features["label"][0])
    layer.features.loc[0, "label"] = other  # in place, as napari's features table does it
    QApplication.instance().focusChanged.emit(None, None)  # its editor closes then
    with_slide.wait(lambda: with_slide.table_column(1) != before)
    assert layer.features["label_source"].tolist().count("person") == 1

    table = with_slide.summary.table
    row = next(r for r in range(table.rowCount()) if table.item(r, 0).data(Qt.ItemDataRole.UserRole) == other)
    table.item(row, 0).setCheckState(Qt.CheckState.Unchecked)
    np.testing.assert_array_equal(layer.shown, layer.features["label"] != other)
    table.item(row, 0).setCheckState(Qt.CheckState.Checked)
    assert layer.shown.all()


def test_only_what_is_in_view_is_classified(with_slide):
    viewer, dock = with_slide.viewer, with_slide.classify
    camera_of(viewer).center = (0, 192, 160)
    camera_of(viewer).zoom = max(view_px(viewer)) / 200  # 200 µm across
    dock.where_box.radios[Where.VIEW].click()
    with_slide.run()
    half = np.array(view_px(viewer)) / camera_of(viewer).zoom / 2 / 0.25
    (layer,) = with_slide.cells
    assert len(layer.data)
    assert (np.abs(layer.data - (192 / 0.25, 160 / 0.25)) <= half + 0.01).all()


def test_the_sample_opens_from_the_menu(window):
    window.viewer.open_sample(PLUGIN, "blood_smear")
    assert window.classify.slide_box.layer is not None
    assert window.classify.run_button.isEnabled()


def test_a_run_outlives_its_dock_and_ends_with_the_window(with_slide, endless):
    with_slide.click(with_slide.classify.run_button)
    with_slide.wait(lambda: with_slide.cells)
    with_slide.viewer.window.remove_dock_widget(with_slide.classify)
    assert with_slide.state.run is not None
    _, again = with_slide.viewer.window.add_plugin_dock_widget(PLUGIN, "Classify cells")
    assert again.is_running
    assert again.cancel_button.isVisibleTo(again)
    with_slide.state.close()  # as the window does
    with_slide.wait(endless.is_set)
    assert with_slide.state.run is None


class Paints(QObject):
    """Counts how often a window is drawn anew."""

    def __init__(self, window):
        super().__init__()
        self.n = 0
        window.installEventFilter(self)

    def eventFilter(self, _, event):  # noqa: N802 - Qt's name
        self.n += event.type() == QEvent.Type.UpdateRequest
        return False


@pytest.mark.usefixtures("endless")
def test_nothing_moves_in_the_window_while_one_waits_for_a_run(with_slide, monkeypatch):
    """An animation draws the whole window each time; without a graphics card that slows the networks down."""
    monkeypatch.setattr(Networks, "warm", lambda *_: None)
    with_slide.viewer.window.show()
    window, states = unwrapped(with_slide.viewer).window._qt_window, []
    spinner = window._activity_dialog._toggleButton._inProgressIndicator.movie()

    def stilled(viewer):
        spinner.start()  # as napari does for a bar, but not in its own test fixture
        still_activity(viewer)
        states.append(spinner.state())

    monkeypatch.setattr(runner, "still_activity", stilled)
    with_slide.click(with_slide.classify.run_button)
    with_slide.wait(lambda: with_slide.cells)
    assert states == [QMovie.MovieState.Paused]
    paints = Paints(window)

    def calm():
        before = paints.n
        with_slide.qtbot.wait(1000)
        return paints.n - before < 3

    with_slide.wait(calm)
    with_slide.classify._show_bar(Progress("Looking over the slide"))
    assert with_slide.classify.bar.maximum() > 0  # Qt's busy bar has none


def test_a_window_closed_during_a_run_leaves_a_whole_file_and_no_thread(
    with_slide, endless, own_folder, monkeypatch
):
    monkeypatch.setattr(Networks, "warm", lambda *_: None)
    window, viewer = with_slide, with_slide.viewer
    viewer.window.show()
    window.click(window.classify.run_button)
    window.wait(lambda: window.cells)
    state, found = window.state, len(window.cells[0].data)
    viewer.close()
    window.wait(endless.is_set)
    window.wait(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)
    assert state.run is None
    assert state.sessions == ()
    (path,) = own_folder.iterdir()  # no lock, no journal
    with open_analysis(path, write=True) as file:
        assert not file.read_only
        assert len(file.analysis().counting().ids) >= found


def test_networks_are_loaded_ahead_once_the_dock_is_on_the_screen(
    make_napari_viewer_proxy, qtbot, toy_bundle_folder, monkeypatch
):
    asked = []
    monkeypatch.setattr(Networks, "warm", lambda self, source, run, options: asked.append(source))
    window = Window(make_napari_viewer_proxy(), qtbot)
    window.classify.model_box.add(toy_bundle_folder)
    qtbot.wait(50)
    assert not asked  # nobody sees it yet
    window.classify.showEvent(None)
    window.wait(lambda: asked == [str(toy_bundle_folder)])


def test_the_command_palette_offers_only_what_needs_no_file(make_napari_viewer_proxy):
    """Readers and writers are commands to napari; chosen by a person they would raise a TypeError."""
    make_napari_viewer_proxy()
    menus = get_app_model().menus
    commands = [getattr(item, "command", None) for item in menus.get_menu(menus.COMMAND_PALETTE_ID)]
    enabled = {
        each.id.removeprefix(f"{PLUGIN}."): each.enablement is None or each.enablement.eval({})
        for each in commands
        if each is not None and each.id.startswith(f"{PLUGIN}.")
    }
    for_files = {"read_slide", "read_cells", "read_analysis", "write_cells"}
    assert {name for name, on in enabled.items() if not on} == for_files
    docks = set() if napari.__version__.startswith("0.6.") else {"all_docks", "review"}  # it lists no docks
    assert {"open_slide"} | docks <= set(enabled)


def test_all_docks_in_one_from_the_sample_to_the_reopened_file(
    make_napari_viewer_proxy, qtbot, toy_bundle_folder, own_folder
):
    viewer = make_napari_viewer_proxy()
    viewer.window.resize(1280, 800)
    viewer.window.show()
    _, docks = viewer.window.add_plugin_dock_widget(PLUGIN, "All docks")
    # of 800, beside menus and status bar
    assert max(docks.minimumSizeHint().height(), docks.minimumHeight()) < 560
    viewer.open_sample(PLUGIN, "blood_smear")
    assert docks.classify.target_spin.value() == 300  # it has 400 cells
    docks.classify.model_box.add(toy_bundle_folder)
    docks.classify.target_spin.setValue(20)
    docks.classify.cells_box.setCurrentText("find them by stain")
    qtbot.mouseClick(docks.classify.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not docks.classify.is_running, timeout=PATIENCE_MS)
    assert docks.currentWidget() is docks.summary
    state = state_of(viewer)
    waiting = int(state.session.to_review().sum())
    assert f"{waiting} to" in docks.summary.review_button.text()
    qtbot.mouseClick(docks.summary.review_button, Qt.MouseButton.LeftButton)
    state.relabel(state.selection, "L2")
    table = state.table.copy()
    docks.setCurrentWidget(docks.summary)
    assert not docks.summary.review_button.isEnabled()
    (path,) = own_folder.glob("*.deepheme.db")
    viewer.layers.clear()
    assert state.session is None
    viewer.open(path, plugin=None)  # as by drag and drop; no other plugin reads it, so nobody is asked
    assert any(is_fields(layer) for layer in viewer.layers)
    pd.testing.assert_frame_equal(state.table, table)
    state.close()
