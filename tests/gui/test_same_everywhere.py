"""Python, the command line, the dock and a resumed run give the same cells and calls."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from qtpy.QtCore import Qt

from napari_deepheme import AnalysisOptions, analyse, cells_table, cli, drain, load_bundle, open_slide
from napari_deepheme.export import read_cells_csv
from napari_deepheme.sample_data import SAMPLE_SLIDE
from napari_deepheme.store import continued, open_analysis, signature_of
from napari_deepheme.ui.layers import cells_of, is_cells

PLUGIN = "napari-deepheme"
EVERYTHING = AnalysisOptions(target_cells=0)

pytestmark = [pytest.mark.viewer, pytest.mark.slow]


@pytest.fixture(params=["sample", "blood_40x", "blood_100x"])
def slide_path(request, tmp_path):
    if request.param == "sample":
        path = SAMPLE_SLIDE
    else:
        path = request.getfixturevalue("shared") / f"slides/mosaic/{request.param}.svs"
    return Path(shutil.copy(path, tmp_path))


def resumed(path, bundle, folder):
    """The table of a run that was closed after two units and gone on with."""
    with open_slide(path) as slide:
        signature = signature_of(slide, bundle, EVERYTHING)
        file, _ = continued(path, folder, signature)
        with file, closing(analyse(slide, bundle, EVERYTHING, sink=file)) as job:
            while len(file.done()) < 2:
                next(job)
        file, remark = continued(path, folder, signature)
        assert "2 parts of the slide are done" in remark
        with file:
            return cells_table(drain(analyse(slide, bundle, EVERYTHING, sink=file)))


def test_the_same_everywhere(slide_path, tmp_path, monkeypatch, make_napari_viewer_proxy, qtbot):
    bundle = load_bundle()
    with open_slide(slide_path) as slide:
        wanted = cells_table(drain(analyse(slide, bundle, EVERYTHING)))
    assert len(wanted) > 100

    command = ["classify", str(slide_path), "--out", str(tmp_path / "cli"), "--target-cells", "0"]
    monkeypatch.setattr("sys.argv", ["napari-deepheme", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    with open_analysis(tmp_path / "cli" / f"{slide_path.stem}.deepheme.db") as file:
        pd.testing.assert_frame_equal(cells_table(file.analysis()), wanted, check_exact=True)
    written = read_cells_csv(tmp_path / "cli" / f"{slide_path.stem}.cells.csv")
    assert (written["label"] == wanted["label"]).all()

    (tmp_path / "resumed").mkdir()
    pd.testing.assert_frame_equal(resumed(slide_path, bundle, tmp_path / "resumed"), wanted, check_exact=True)

    viewer = make_napari_viewer_proxy()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Classify cells")
    viewer.open(slide_path, plugin=PLUGIN)
    dock.target_spin.setValue(0)
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.is_running, timeout=240_000)
    (layer,) = [each for each in viewer.layers if is_cells(each)]
    pd.testing.assert_frame_equal(cells_of(layer), wanted)
