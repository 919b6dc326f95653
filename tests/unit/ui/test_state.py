"""One state per viewer: every edit is a correction, every view hears of it, and undo takes it back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel

from napari_deepheme.analysis.corrections import CorrectionKind
from napari_deepheme.analysis.result import UnitResult
from napari_deepheme.export import cells_table
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store import open_analysis
from napari_deepheme.store.opening import create_analysis
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of

CORRECTED = ["cell_id", "label", "label_source", "x_px", "y_px", "x_um", "y_um"]


@pytest.fixture
def state(analysis):
    viewer = ViewerModel()
    state = state_of(viewer)
    state.open(Session.of_analysis(analysis, "case 7"))
    yield state
    state.close()
    del viewer


@pytest.fixture
def heard(state):
    heard = []
    state.cells_changed.connect(lambda ids: heard.append(ids.tolist()))
    return heard


def test_each_viewer_has_its_own_state():
    one, two = ViewerModel(), ViewerModel()
    assert state_of(one) is state_of(one)
    assert state_of(one) is not state_of(two)
    assert state_of(one).viewer is one


def test_the_table_after_any_edits_is_the_one_computed_from_the_corrections(state, heard):
    state.relabel([1, 2, 3], "L2")
    state.accept([4])
    state.move(5, (100.5, 200.25))
    state.delete([6, 7])
    added = state.add((10, 20), "MO2")
    assert added == -1
    assert heard == [[1, 2, 3], [4], [5], [6, 7], [-1]]
    wanted = cells_table(state.analysis)
    pd.testing.assert_frame_equal(state.table, wanted)
    assert state.table["label"].tolist()[:3] == ["L2"] * 3
    assert set(state.table["label_source"][:4]) == {"person"}
    assert len(state.table) == 30 - 2 + 1


def test_undo_takes_back_what_was_done_at_once_and_redo_does_it_again(state):
    before = state.table.copy()
    steps = [before]
    for act in (
        lambda: state.relabel(range(1, 11), "L2"),
        lambda: state.delete([3]),
        lambda: state.add((10, 20)),
        lambda: state.move(1, (5, 6)),
    ):
        act()
        steps.append(state.table.copy())
    for step in reversed(steps[:-1]):
        assert state.undo()
        pd.testing.assert_frame_equal(_sorted(state.table), _sorted(step))
    assert not state.undo()
    for step in steps[1:]:
        assert state.redo()
        pd.testing.assert_frame_equal(_sorted(state.table), _sorted(step))
    assert not state.redo()
    state.undo()
    state.relabel([2], "MO2")
    assert not state.redo()


def test_a_line_says_what_was_done(state):
    lines = []
    state.said.connect(lines.append)
    before = state.table["label"][0]
    state.relabel([1], "L2")
    state.relabel([1, 2], "MO2")
    state.accept([3])
    state.undo()
    state.delete([9])
    third = state.table["label"][2]
    assert lines == [
        f"{before} → L2",
        "2 cells → MO2",
        f"accepted: {third}",
        f"taken back: label {third}",
        "no cell: 9",
    ]


def test_a_class_the_model_does_not_know_can_be_given(state):
    state.relabel([1], "M1")
    assert state.taxonomy.codes[-1] == "M1"
    counted = {row.cell_class.code: row.count for row in state.session.differential.rows}
    assert counted["M1"] == 1


def test_review_falls_as_cells_are_settled(state):
    waiting = state.table["cell_id"][state.session.to_review()].tolist()
    assert waiting
    state.accept(waiting[:1])
    assert state.table["cell_id"][state.session.to_review()].tolist() == waiting[1:]


def test_thresholds_move_the_counts_and_keep_what_a_person_said(analysis):
    score = np.linspace(0.1, 1, 30).astype(np.float32)
    analysis = replace(analysis, cells=replace(analysis.cells, score=score))
    state = state_of(ViewerModel())
    viewer = ViewerModel()
    state = state_of(viewer)
    state.open(Session.of_analysis(analysis, "case 7"))
    usual = len(state.table)
    assert usual == (score >= 0.5).sum()
    moved = []
    state.assessment_changed.connect(lambda: moved.append(1))
    state.select([30, 29])
    state.options = AssessmentOptions(detection_threshold=0.1)
    assert len(state.table) == 30
    state.relabel([1], "L2")
    state.options = AssessmentOptions(detection_threshold=0.995)
    assert state.table["cell_id"].tolist() == [1, 30]
    assert state.selection.tolist() == [30]
    state.options = replace(state.options, detection_threshold=0.1, review_threshold=0.0)
    assert state.session.to_review().sum() == 29
    assert len(moved) == 3


def test_a_unit_that_comes_in_is_appended(state, heard, make_analysis):
    more = replace(make_analysis(5), ids=np.arange(31, 36), units={"tile 2": ""})
    state.extend(state.session, [more])
    assert heard == [[31, 32, 33, 34, 35]]
    assert list(state.analysis.units) == ["tile 1", "tile 2"]
    pd.testing.assert_frame_equal(state.table, cells_table(state.analysis))


def test_selection_tells_only_of_changes(state):
    told = []
    state.selection_changed.connect(lambda: told.append(state.current))
    state.select([3, 4])
    state.select([3, 4])
    state.select([3, 4], current=4)
    state.delete([4])
    assert told == [3, 4, 3]
    assert state.selection.tolist() == [3]


def test_what_is_done_is_in_the_file_at_once(analysis, tmp_path):
    file = create_analysis(tmp_path / "a.deepheme.db", {"slide": "x"})
    file.begin(analysis.facts)
    file.commit(UnitResult("tile 1", analysis.cells, analysis.raw))
    file.finish(())
    viewer = ViewerModel()
    state = state_of(viewer)
    state.open(Session.of_analysis(file.analysis(), "case 7", file))
    state.relabel([1, 2], "L2")
    state.delete([3])
    state.add((10, 20), "MO2")
    state.undo()
    state.options = replace(state.options, review_threshold=0.7)
    table = state.table.copy()
    with open_analysis(file.path) as reader:  # while the window still has it
        assert [c.kind for c in reader.corrections()][-1] is CorrectionKind.UNDO
    state.close()
    with open_analysis(file.path) as again:
        read = again.analysis()
    pd.testing.assert_frame_equal(cells_table(read), table)


def _sorted(table):
    return table.sort_values("cell_id")[CORRECTED].reset_index(drop=True)


def test_an_audit_is_drawn_kept_and_counted_down(state, analysis, tmp_path):
    with create_analysis(tmp_path / "a.deepheme.db", {}) as file:
        file.begin(analysis.facts)
        state.open(Session.of_analysis(analysis, "case 7 cells", file))
        heard = []
        state.audit_drawn.connect(lambda: heard.append(True))
        state.draw_audit(10)
        assert heard and set(state.audit_waiting) == set(state.audit) <= set(analysis.ids.tolist())
        first, *rest = state.audit
        state.accept([first])
        assert list(state.audit_waiting) == rest
        state.undo()
        assert first in state.audit_waiting
        assert file.analysis().audit.cells == tuple(state.audit)
