"""A person's way through the cells, on the viewer's own state."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel
from review_cells import analysis_of

from napari_deepheme.ui.review.details import cell_lines, votes_of
from napari_deepheme.ui.review.order import CellFilter, Order, Show
from napari_deepheme.ui.review.reviewer import Reviewer
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of


@pytest.fixture
def state(smear_path, toy_bundle):
    viewer = ViewerModel()
    state = state_of(viewer)
    state.open(Session.of_analysis(analysis_of(smear_path, toy_bundle, 30, 6), "smear"))
    yield state
    state.close()
    del viewer


@pytest.fixture
def reviewer(state):
    return Reviewer(state)


def labels(state, *cells):
    return [state.session.label_of(cell) for cell in cells]


def test_the_doubtful_cells_come_first_and_the_first_is_selected(reviewer):
    assert sorted(reviewer.ids.tolist()) == [1, 2, 3, 4, 5, 6]
    assert reviewer.selected == (reviewer.current_id,)
    assert reviewer.n_waiting == 6
    assert reviewer.tile(0).waiting


def test_a_key_labels_one_cell_and_goes_on_and_the_list_holds_still(reviewer, state):
    ids = reviewer.ids.tolist()
    reviewer.label("M3")
    assert labels(state, ids[0]) == ["M3"]
    assert reviewer.current == 1
    reviewer.accept()
    assert reviewer.current == 2
    assert reviewer.ids.tolist() == ids
    assert (reviewer.n_settled, reviewer.n_waiting) == (2, 4)
    assert reviewer.tile(0).person
    assert not reviewer.tile(0).waiting


def test_going_on_passes_over_cells_that_are_settled(reviewer):
    reviewer.select_index(1)
    reviewer.accept()
    reviewer.select_index(0)
    reviewer.accept()
    assert reviewer.current == 2
    reviewer.select_index(5)
    reviewer.accept()
    assert reviewer.current == 5  # the last: nothing after it
    assert reviewer.next_to_review()
    assert reviewer.current == 2


def test_several_at_once_by_range_and_one_by_one(reviewer, state):
    ids = reviewer.ids.tolist()
    reviewer.select_index(3, since=1)
    assert reviewer.selected == tuple(ids[1:4])
    reviewer.label("L2")
    assert labels(state, *ids[1:4]) == ["L2"] * 3
    assert reviewer.selected == (ids[4],)
    reviewer.select_index(0, toggle=True)
    assert set(reviewer.selected) == {ids[0], ids[4]}
    reviewer.select_index(0, toggle=True)
    assert reviewer.selected == (ids[4],)


def test_no_cell_goes_and_comes_back_to_its_place(reviewer):
    ids = reviewer.ids.tolist()
    reviewer.select_index(2)
    reviewer.no_cell()
    assert reviewer.ids.tolist() == ids[:2] + ids[3:]
    assert reviewer.current_id == ids[3]
    assert reviewer.undo()
    assert reviewer.ids.tolist() == ids
    assert reviewer.redo()
    assert ids[2] not in reviewer.ids


def test_undo_without_end(reviewer, state):
    before = state.table["label"].tolist()
    for code in ("M3", "L2", "M2", "M3"):
        reviewer.label(code)
    for _ in range(4):
        assert reviewer.undo()
    assert not reviewer.undo()
    assert state.table["label"].tolist() == before
    assert reviewer.n_settled == 0


def test_an_added_cell_is_shown_and_can_be_given_a_class(reviewer, state):
    reviewer.add((50.0, 60.0))
    assert reviewer.current_id < 0
    assert reviewer.tile(reviewer.current).code == ""
    cell = reviewer.current_id
    reviewer.label("M1")
    assert labels(state, cell) == ["M1"]


def test_grouped_by_class_a_cell_moves_to_its_group(reviewer, state):
    reviewer.look_at(CellFilter(Show.ALL), Order.UNCERTAINTY, grouped=True)
    assert sum(n for _, n in reviewer.groups) == 30
    sizes = dict(reviewer.groups)
    code, other = reviewer.groups[0][0], reviewer.groups[1][0]
    reviewer.move_to_class([int(reviewer.ids[0])], other)
    moved = dict(reviewer.groups)
    assert moved.get(code, 0) == sizes[code] - 1
    assert moved[other] == sizes[other] + 1
    start = 0
    for each, n in reviewer.groups:
        assert {reviewer.tile(i).code for i in range(start, start + n)} == {each}
        start += n


def test_a_selection_made_elsewhere_is_followed_if_it_is_in_the_list(reviewer):
    ids = reviewer.ids.tolist()
    reviewer.take_selection([ids[4]], ids[4])
    assert reviewer.current == 4
    reviewer.take_selection([25], 25)  # a sure cell
    assert reviewer.current == 4


def test_without_an_analysis_there_is_nothing(smear_path):
    viewer = ViewerModel()
    reviewer = Reviewer(state_of(viewer))
    assert len(reviewer) == 0
    assert reviewer.row() is None
    assert not reviewer.next_to_review()


def test_what_is_said_of_a_cell(reviewer, state):
    cell = reviewer.current_id
    what, why = cell_lines(reviewer.row(), votes_of(state.analysis, cell))
    row = state.table[state.table["cell_id"] == cell].iloc[0]
    assert what.startswith(f"cell {cell} · {row['class']} 0.")
    assert f"{row['top2_class']} 0." in what
    assert why.startswith("votes ")
    assert why.count(" 1") == 2  # each member for another class
    assert "to review: entropy above 0.50" in why
    reviewer.label("M1")
    reviewer.go_to(cell)
    assert "M1 by a person" in cell_lines(reviewer.row())[0]
    assert cell_lines(None) == ("", "")
