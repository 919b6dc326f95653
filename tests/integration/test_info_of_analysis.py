"""What ``info`` says of an analysis that people corrected, taught and signed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from review_cells import analysis_of

from napari_deepheme import cli
from napari_deepheme.analysis.corrections import CorrectionKind
from napari_deepheme.analysis.learned import Learned
from napari_deepheme.analysis.result import UnitResult
from napari_deepheme.analysis.sign_off import SignOff
from napari_deepheme.models.spec import Parent
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store.opening import create_analysis, open_analysis


@pytest.fixture
def path(smear_path, toy_bundle, tmp_path) -> Path:
    made = analysis_of(smear_path, toy_bundle, n=30, doubtful=5)
    path = tmp_path / "smear.deepheme.db"
    with create_analysis(path, {}) as file:
        file.begin(made.facts)
        file.commit(UnitResult("tile 1", made.cells, made.raw))
        file.finish(())
    return path


def learned(analysis) -> Learned:
    spec = analysis.facts.bundle.model_copy(
        update={"name": "mine", "parent": Parent(name="toy", version="1", members=())}
    )
    return Learned(spec, Path("/models/mine"), analysis.facts.calibration, 24, analysis.ids, analysis.raw)


def info(monkeypatch, capsys, path, *more: str) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["napari-deepheme", "info", str(path), *more])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    printed: str = capsys.readouterr().out
    return printed


def test_of_a_plain_run_neither_parent_nor_sign_off_is_told(monkeypatch, capsys, path):
    facts = json.loads(info(monkeypatch, capsys, path, "--json"))
    assert not {"parent", "learned", "sign_off"} & set(facts)
    assert facts["model"] == "toy 1"


def test_the_parent_of_a_learned_model_and_the_sign_off_are_named(monkeypatch, capsys, path):
    with open_analysis(path, write=True) as file:
        file.learn(learned(file.so_far()), "Ada")
        file.sign(SignOff("Grace", "2026-11-25T04:33:00+00:00", 12, 14, 0, "mine 1", AssessmentOptions()))
    facts = json.loads(info(monkeypatch, capsys, path, "--json"))
    assert (facts["model"], facts["parent"]) == ("mine 1", "toy 1")
    assert (facts["learned"]["labels"], facts["learned"]["who"]) == (24, "Ada")
    signed = facts["sign_off"]
    assert (signed["who"], signed["when"]) == ("Grace", "2026-11-25T04:33:00+00:00")
    assert (signed["settled"], signed["to_review"], signed["holds"]) == (12, 14, True)
    words = info(monkeypatch, capsys, path)
    assert "Reviewed by Grace, 2026-11-25 04:33 UTC; 12 of 14 settled" in words
    assert "toy 1" in words
    with open_analysis(path, write=True) as file:
        file.correct(CorrectionKind.LABEL, 1, label="L2")
    assert not json.loads(info(monkeypatch, capsys, path, "--json"))["sign_off"]["holds"]
    assert "withdrawn by a later correction" in info(monkeypatch, capsys, path)


def test_a_run_by_an_adapted_model_names_its_parent(monkeypatch, capsys, smear_path, toy_bundle, tmp_path):
    made = analysis_of(smear_path, toy_bundle, n=5, doubtful=0)
    spec = learned(made).bundle
    with create_analysis(tmp_path / "a.deepheme.db", {}) as file:
        file.begin(replace(made.facts, bundle=spec))
        file.finish(())
    facts = json.loads(info(monkeypatch, capsys, tmp_path / "a.deepheme.db", "--json"))
    assert (facts["model"], facts["parent"], "learned" in facts) == ("mine 1", "toy 1", False)
