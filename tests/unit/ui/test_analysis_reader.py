"""An analysis file opens as what it was: slide, fields, cells, corrections."""

from __future__ import annotations

from shutil import copy, move

import pandas as pd
import pytest
from napari.components import ViewerModel

from napari_deepheme.analysis.corrections import CorrectionKind
from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.run import analyse
from napari_deepheme.export import cells_table
from napari_deepheme.jobs import drain
from napari_deepheme.slide import open_slide
from napari_deepheme.store import continued, open_analysis, signature_of
from napari_deepheme.ui import analysis_reader
from napari_deepheme.ui.analysis_reader import get_analysis_reader
from napari_deepheme.ui.layers import is_cells
from napari_deepheme.ui.opening import earlier_analyses, open_earlier
from napari_deepheme.ui.slides import is_fields, slide_path
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.views import view_of


@pytest.fixture
def analysed(smear_path, tmp_path, toy_bundle):
    """A slide, and the file of its analysis with a correction."""
    path = tmp_path / "smear.svs"
    copy(smear_path, path)
    options = AnalysisOptions(target_cells=20, detector="stain")
    with open_slide(path) as slide:
        file, _ = continued(path, tmp_path, signature_of(slide, toy_bundle, options))
        with file:
            drain(analyse(slide, toy_bundle, options, sink=file))
            file.correct(CorrectionKind.LABEL, 1, label="L2")
    return path, file.path


def opened(path):
    viewer = ViewerModel()
    view_of(viewer)
    for data, options, kind in get_analysis_reader(str(path))(str(path)):
        getattr(viewer, f"add_{kind}")(data, **options)
    return viewer


def test_slide_fields_cells_and_corrections_come_back(analysed):
    slide, path = analysed
    viewer = opened(path)
    state = state_of(viewer)
    image, fields, cells = viewer.layers
    assert slide_path(image) == slide
    assert state.slide is image
    assert is_fields(fields)
    assert is_cells(cells)
    assert state.file is not None
    assert state.table["label"][0] == "L2"
    state.relabel([2], "MO2")
    table = state.table.copy()
    state.close()
    with open_analysis(path) as file:
        pd.testing.assert_frame_equal(cells_table(file.analysis()), table)


def test_a_slide_that_was_moved_with_its_file_is_found_by_what_is_in_it(analysed, tmp_path):
    slide, path = analysed
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no slide")
    move(slide, folder / "renamed.svs")
    viewer = opened(move(path, folder))
    assert slide_path(viewer.layers[0]) == folder / "renamed.svs"
    assert state_of(viewer).session.slide == folder / "renamed.svs"
    state_of(viewer).close()


def test_without_its_slide_the_cells_come_alone_and_that_is_said(analysed, monkeypatch):
    slide, path = analysed
    slide.unlink()
    said = []
    monkeypatch.setattr(analysis_reader, "_ask", lambda _: None)
    monkeypatch.setattr(analysis_reader, "show_warning", said.append)
    viewer = opened(path)
    assert [is_cells(layer) for layer in viewer.layers] == [True]
    assert "smear.svs was not found" in said[0]
    state_of(viewer).close()


def test_an_earlier_analysis_of_the_slide_in_hand_is_opened_from_the_dock(analysed):
    slide, path = analysed
    viewer = ViewerModel()
    view = view_of(viewer)
    (data, options, _) = analysis_reader.slide_layer(open_slide(slide))
    image = viewer.add_image(data, **options)
    assert earlier_analyses(image) == [path]
    open_earlier(view, image, path)
    assert view.state.table["label"][0] == "L2"
    open_earlier(view, image, path)
    assert len(view.state.sessions) == 1
    view.state.close()
