"""Models that learned from corrections lie beside the run's own outputs, and either can be in use."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored_parts import unit

from napari_deepheme.analysis.corrections import CorrectionKind
from napari_deepheme.analysis.learned import Learned, by_learned
from napari_deepheme.analysis.sign_off import SignOff, review_status
from napari_deepheme.cells import RawOutputs
from napari_deepheme.errors import AnalysisFileError
from napari_deepheme.export.counts import differential_of
from napari_deepheme.export.table import cells_table
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store import open_analysis
from napari_deepheme.taxonomy import extended

GOLDEN = Path(__file__).parent / "golden"


def learned_from(analysis, seed=3):
    """A model with one class more, that has something to say of every cell."""
    own, n = analysis.facts.bundle, len(analysis.ids)
    spec = own.model_copy(update={"name": "a-learned", "taxonomy": extended(own.taxonomy, ["M1"])})
    rng = np.random.default_rng(seed)
    raw = RawOutputs(rng.dirichlet(np.full(12, 0.3), (2, n)), rng.uniform(0, 3, n))
    calibration = replace(analysis.facts.calibration, class_prior=None, stain=None)
    return Learned(spec, Path("/models/a-learned"), calibration, 24, analysis.ids, raw)


def test_what_is_in_use_is_what_everybody_sees(file, facts):
    file.finish(facts.notices)
    own = file.so_far()
    learned = file.learn(learned_from(own), "Ada")
    file.close()
    with open_analysis(file.path) as again:
        shown = again.analysis()
        assert again.so_far().learned is None
        np.testing.assert_array_equal(again.so_far().raw.members, own.raw.members)
    pd.testing.assert_frame_equal(cells_table(shown), cells_table(by_learned(own, learned)))
    assert shown.model == "a-learned 1"
    assert (shown.learned.parent, shown.learned.cells, shown.learned.who) == ("toy 1", 24, "Ada")
    assert differential_of(shown).n_cells == differential_of(own).n_cells
    assert "M1" in shown.taxonomy.codes


def test_the_runs_own_model_comes_back_and_goes(file):
    before = cells_table(file.analysis())
    file.learn(learned_from(file.so_far()))
    after = cells_table(file.analysis())
    file.use(None)
    pd.testing.assert_frame_equal(cells_table(file.analysis()), before)
    (kept,) = file.models()
    file.use(kept.number)
    pd.testing.assert_frame_equal(cells_table(file.analysis()), after)
    assert (kept.name, kept.cells) == ("a-learned 1", 24)


def test_cells_that_a_learned_model_has_not_seen_are_called_by_the_runs_own(file):
    file.learn(learned_from(file.so_far()))
    file.commit(unit("field 3", 3))
    assert file.in_use is None
    assert len(file.analysis().ids) == 12
    assert file.analysis().model == "toy 1"


def test_an_added_cell_has_outputs_of_either_model_apart(file):
    file.learn(learned_from(file.so_far()))
    file.correct(CorrectionKind.ADD, 0, yx=(10.0, 20.0))
    assert np.isnan(file.analysis().raw.members[:, -1]).all()
    file.classified(-1, RawOutputs(np.full((2, 1, 12), 1 / 12), np.array([1.0])))
    assert file.analysis().raw.members[0, -1, 0] == pytest.approx(1 / 12, abs=1e-3)
    assert np.isnan(file.so_far().raw.members[:, -1]).all()
    added = cells_table(file.analysis()).set_index("cell_id").loc[-1]
    assert (added["label_source"], added["label"]) == ("model", added["class"])  # offered, not settled
    assert added["needs_review"]
    assert "not named" in added["review_reason"]


def test_an_older_file_that_can_only_be_read_is_read_and_stays_as_it_is(tmp_path):
    copy = tmp_path / "old.deepheme.db"
    copy.write_bytes((GOLDEN / "format-1.deepheme.db").read_bytes())
    with open_analysis(copy) as file:
        assert len(file.analysis().ids)
        assert file.models() == ()
        with pytest.raises(AnalysisFileError, match="reading only"):
            file.use(None)
    connection = sqlite3.connect(copy)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_a_sign_off_holds_until_something_changes(file):
    options = AssessmentOptions(review_threshold=0.7)
    file.sign(SignOff("Ada", "2026-11-25T10:20:30+00:00", 38, 38, 0, "toy 1", options))
    signed = file.analysis().sign_offs
    good = review_status(signed, file.corrections(), options, "toy 1")
    assert good.holds
    assert good.line == "Reviewed by Ada, 2026-11-25 10:20 UTC; 38 of 38 settled"
    assert not review_status((), (), options, "toy 1").line
    assert "moved thresholds" in review_status(signed, (), AssessmentOptions(), "toy 1").line
    assert "another model in use (b 1, then toy 1)" in review_status(signed, (), options, "b 1").line
    file.correct(CorrectionKind.LABEL, 1, label="L2", who="Ben")
    withdrawn = review_status(signed, file.corrections(), options, "toy 1")
    assert not withdrawn.holds
    assert "withdrawn by a later correction (Ben" in withdrawn.line
