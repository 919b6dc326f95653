"""Learn from corrections: shown before it is used, used for cells nobody settled, taken back by a click."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel

from napari_deepheme import synth
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.analysis.run import analyse_with
from napari_deepheme.classify.bundle import load_bundle
from napari_deepheme.errors import BundleError, OptionError, OutputError
from napari_deepheme.export.table import cells_table
from napari_deepheme.jobs import drain
from napari_deepheme.models.device import Device
from napari_deepheme.slide import open_slide
from napari_deepheme.store import open_analysis, signature_of
from napari_deepheme.store.opening import create_analysis
from napari_deepheme.ui.added_cells import asked
from napari_deepheme.ui.learn_task import LearnTask
from napari_deepheme.ui.learning import Proposal, proposal_lines, ready_line, why_not
from napari_deepheme.ui.other_labels import LabelledFile
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of

RUN = RunOptions(device=Device.CPU)


def opened(path):
    file = open_analysis(path, write=True)
    state = state_of(ViewerModel())
    state.open(Session.of_analysis(file.analysis(), "smear cells", file))
    return state


def label_some(state, truth_path):
    """Two classes as the smear was rendered, one that is new to the model, and one with a single label."""
    truth, table = pd.read_csv(truth_path), state.table
    gaps = [np.subtract.outer(table[axis].to_numpy(), truth[axis].to_numpy()) for axis in ("y_px", "x_px")]
    names = truth["deepheme_code"].to_numpy(object)[np.hypot(*gaps).argmin(axis=1)]
    for code, given, most in (("M6", "M6", 5), ("L2", "L2", 5), ("M5", "M1", 4), ("EBO", "EBO", 1)):
        state.relabel(table["cell_id"].to_numpy()[names == code][:most], given)


def analysed(path, slide_path, bundle):
    """The file of an analysis by the toy model."""
    options = AnalysisOptions(target_cells=0, detector="stain")
    with (
        open_slide(slide_path) as slide,
        create_analysis(path, signature_of(slide, bundle, options)) as file,
    ):
        drain(analyse_with(Engine(bundle, RUN), slide, options, file))
        file.found_at(str(bundle.root))
    return path


@pytest.fixture(scope="module")
def taught(tmp_path_factory, smear_path, toy_bundle):
    """The file of a corrected analysis by the toy model, and what was learned from it."""
    path = analysed(tmp_path_factory.mktemp("taught") / "smear.deepheme.db", smear_path, toy_bundle)
    state = opened(path)
    label_some(state, smear_path.with_suffix(".truth.csv"))
    proposal = drain(LearnTask(state, state.session, RUN).job())
    state.close()
    yield path, proposal
    proposal.discard()


@pytest.fixture
def path(taught, tmp_path):
    copied: str = shutil.copy(taught[0], tmp_path)
    return tmp_path / copied


@pytest.fixture
def state(path):
    state = opened(path)
    yield state
    state.close()


@pytest.fixture
def proposal(taught, state, tmp_path):
    """What was learned, with its bundle in a folder of this test."""
    bundle = taught[1].lesson.adapted.bundle
    folder = tmp_path / "for the time being"
    shutil.copytree(bundle.root, folder / bundle.root.name)
    adapted = replace(taught[1].lesson.adapted, bundle=load_bundle(folder / bundle.root.name))
    state.propose(
        Proposal(state.session, replace(taught[1].lesson, adapted=adapted), taught[1].changes, folder)
    )
    return state.proposal


def test_before_it_is_used_it_is_only_shown(state, proposal):
    lines = "\n".join(proposal_lines(proposal))
    assert "14 labels, each judged by what was learned from the others" in lines
    changes = proposal.changes
    assert f"{sum(changes.moved.values())} of {changes.cells} calls would change: " in lines
    assert changes.cells == (state.table["label_source"] == "model").sum()
    assert f"To review: {changes.to_review[0]} → {changes.to_review[1]}" in lines
    assert state.session.learned is None
    assert proposal.lesson.left_out == {"EBO": 1}


def test_what_is_used_calls_the_cells_nobody_settled_and_is_there_when_opened_again(state, path, proposal):
    before, settled = state.table.copy(), state.table["label_source"] == "person"
    own = state.session.file.so_far()
    state.use_proposal()
    now = state.table
    moved = (before["label"] != now["label"]) & ~settled
    assert moved.sum() == sum(proposal.changes.moved.values()) > 0
    pd.testing.assert_series_equal(now["label"][settled], before["label"][settled])
    assert int(state.session.to_review().sum()) == proposal.changes.to_review[1]
    assert state.session.origin.bundle == "smear-learned 1"
    assert "p_M1" in now  # a person's class is one of the model's
    np.testing.assert_array_equal(state.session.file.so_far().raw.members, own.raw.members)
    assert state.proposal is None
    assert load_bundle(path.parent / "smear-learned").spec == state.analysis.facts.bundle
    state.close()
    with open_analysis(path) as again:
        pd.testing.assert_frame_equal(cells_table(again.analysis()), now)


def test_one_click_goes_back_and_one_forth(state, proposal):
    before, options = state.table.copy(), state.options
    state.use_proposal()
    after = state.table.copy()
    state.use_model(None)
    pd.testing.assert_frame_equal(state.table, before)
    assert state.options == options
    state.use_model(state.file.models()[-1].number)
    pd.testing.assert_frame_equal(state.table, after)
    state.undo()  # what a person said is undone whatever model is in use
    assert (state.table["label_source"] == "person").sum() == (after["label_source"] == "person").sum() - 1


def test_where_nothing_is_gained_it_is_said_and_nothing_can_be_used(state, proposal):
    kept = Proposal(
        state.session, replace(proposal.lesson, learned=None), None, proposal.lesson.adapted.bundle.root
    )
    lines = proposal_lines(kept)
    assert lines[-1].startswith("No gain was seen, so toy 1 stays in use")
    state.propose(kept)
    state.use_proposal()
    assert state.session.learned is None
    state.leave_proposal()
    assert state.proposal is None


def test_a_model_that_is_there_already_is_not_overwritten(state, path, proposal):
    (path.parent / "smear-learned").mkdir()
    with pytest.raises(OutputError, match="there already"):
        state.use_proposal()
    assert state.proposal is proposal


def test_why_one_cannot_learn_is_said_in_words(state, make_analysis):
    assert why_not(state.session, running=False) == ""
    assert "run is under way" in why_not(state.session, running=True)
    assert ready_line(state.session) == "14 labels of 3 classes to learn from (too few: EBO 1 of 3)"
    while state.undo():
        pass
    state.relabel([1, 2], "M3")
    assert "M3 2 of 3" in why_not(state.session, running=False)
    assert "file" in why_not(Session.of_analysis(make_analysis(), "in memory"), running=False)
    assert "no classified cells" in why_not(None, running=False)


def test_an_added_cell_is_classified_by_the_model_in_use(state, proposal):
    def ask():
        session = state.session
        places = [session.file.source] + ([str(session.learned.folder)] if session.learned else [])
        for each in asked(state.networks, session.analysis, session.unasked(), places):
            if each.stage == "Asking the model":
                state.classified(session, each.cell, each.raw)

    ids = [state.add((400.0, 500.0)), state.add((700.0, 300.0), "M6")]
    state.delete([state.add((200.0, 200.0))])
    assert state.session.unasked().tolist() == ids
    ask()
    table = state.table.set_index("cell_id")
    assert table.loc[ids[0], "label"] == table.loc[ids[0], "class"] != ""
    assert table.loc[ids, "label_source"].tolist() == ["model", "person"]
    assert table.loc[ids, "confidence"].notna().all()
    pd.testing.assert_frame_equal(state.table, cells_table(state.file.analysis(), state.options))
    assert ids[0] in state.table["cell_id"][state.session.to_review()].tolist()
    state.accept(ids[:1])
    assert ids[0] not in state.table["cell_id"][state.session.to_review()].tolist()
    state.use_proposal()
    assert state.session.unasked().tolist() == ids
    ask()
    assert not len(state.session.unasked())
    pd.testing.assert_frame_equal(state.table, cells_table(state.file.analysis(), state.options))
    state.use_model(None)
    assert not len(state.session.unasked())


def test_a_model_that_is_nowhere_is_asked_for(state, toy_bundle):
    other = toy_bundle.spec.model_copy(update={"name": "gone"})
    with pytest.raises(BundleError, match="choose its folder"):
        state.networks.bundle_of(other, "/nowhere", "")


@pytest.fixture(scope="module")
def second(tmp_path_factory, toy_bundle):
    """The file of an analysis of another slide, and that slide."""
    folder = tmp_path_factory.mktemp("second")
    slide = folder / "second.svs"
    drain(synth.write_smear(slide, synth.SmearSpec(shape=(1024, 1024), n_cells=30, seed=8)))
    return analysed(folder / "second.deepheme.db", slide, toy_bundle), slide


@pytest.fixture
def other(second, tmp_path):
    return shutil.copy(second[0], tmp_path / "second.deepheme.db")


def test_labels_of_another_open_analysis_teach_once_they_are_chosen(state, second, other):
    with open_analysis(other, write=True) as file:
        here = state.session
        both = Session.of_analysis(file.analysis(), "second cells", file)
        state.open(both)
        assert state.other_labels.offered(state.sessions, here) == []  # it has no labels yet
        label_some(state, second[1].with_suffix(".truth.csv"))
        mine = dict(state.table["label"][state.table["label_source"] == "person"].value_counts())
        state.open(here)
        (offered,) = state.other_labels.offered(state.sessions, here)
        assert dict(offered.counts) == mine
        assert offered.line == f"second.deepheme.db · {sum(mine.values())} labels"
        assert state.others_to_learn_from == []
        state.other_labels.choose(offered.path, on=True)
        assert state.others_to_learn_from == [offered]
        assert "in 2 analyses to learn from" in ready_line(here, [offered])

        lesson = drain(LearnTask(state, here, RUN).job()).lesson
        counts = {code: n for code, n in lesson.adapted.counts.items() if n}
        own = {"M6": 5, "L2": 5, "M1": 4, "EBO": 1}
        total = {code: own.get(code, 0) + mine.get(code, 0) for code in {*own, *mine}}
        assert counts == {code: n for code, n in total.items() if n >= 3}
        assert lesson.slides == 2
        assert lesson.adapted.bundle.spec.training.split == "cross-validation by slide (2)"
        state.forget(both)
        assert state.others_to_learn_from == []


def test_a_file_from_elsewhere_is_added_with_its_labels_or_refused_in_a_sentence(
    state, second, other, tmp_path
):
    with pytest.raises(OptionError, match="labelled none of its cells"):
        state.other_labels.add(other)
    with open_analysis(other, write=True) as file:
        session = Session.of_analysis(file.analysis(), "second cells", file)
        session.accept([1, 2])
    state.other_labels.add(other)
    (added,) = state.others_to_learn_from
    assert sum(added.counts.values()) == 2
    assert added.slide == second[1]
    state.other_labels.add(state.file.path)  # the one in hand is not offered twice
    assert state.others_to_learn_from == [added]
    second[1].rename(tmp_path / "moved.svs")
    try:
        with pytest.raises(OptionError, match="is not where it was; open the analysis in the window"):
            state.other_labels.add(other)
    finally:
        (tmp_path / "moved.svs").rename(second[1])


def test_too_few_labels_in_each_of_two_analyses_are_enough_together(state, other):
    while state.undo():
        pass
    state.relabel([1, 2], "M1")
    assert why_not(state.session, running=False)
    more = LabelledFile(other, state.session.slide, {"M1": 1})
    assert why_not(state.session, [more], running=False) == ""


def test_a_signed_review_is_withdrawn_by_a_correction(state):
    state.sign()
    assert state.session.review_status.holds
    state.relabel([1], "L2")
    assert "withdrawn" in state.session.review_status.line
