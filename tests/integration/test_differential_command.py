"""``differential`` of an analysis, of a cells.csv and of anybody's predictions."""

from __future__ import annotations

import json

import pytest
from review_cells import analysis_of
from test_cli import refused, run

from napari_deepheme.analysis.result import UnitResult
from napari_deepheme.export import cells_table, write_csv
from napari_deepheme.export.counts import differential_of
from napari_deepheme.store.opening import create_analysis

PREDICTIONS = "image\tBLA\tLYT\tNGS\na\t0.1\t0.8\t0.1\nb\t0.7\t0.2\t0.1\nc\t0.0\t0.9\t0.1\n"


@pytest.fixture
def analysis(smear_path, toy_bundle):
    return analysis_of(smear_path, toy_bundle)


@pytest.fixture
def file(analysis, tmp_path):
    path = tmp_path / "smear.deepheme.db"
    with create_analysis(path, {}) as opened:
        opened.begin(analysis.facts)
        opened.commit(UnitResult("tile 1", analysis.cells, analysis.raw))
    return path


@pytest.fixture
def count(monkeypatch, capsys):
    def count(*arguments):
        assert run(monkeypatch, "differential", *arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    return count


def test_it_says_how_many_cells_are_missing_and_what_stands_behind_the_numbers(file, count):
    document = count(file, "--until", "L2:1")
    assert document["more_cells"] > 1000
    assert document["like_calibration"]["verdict"] == "unknown"  # the toy carries no calibration cells
    assert document["corrected"] is None
    assert "the truth may lie well outside" in document["like_calibration"]["intervals"]
    assert count(file)["more_cells"] is None


OWN = """
name = "ours"
title = "our laboratory"
source = "120 healthy donors, 2025"
[percent]
lymphocytes = { low = 11.0, high = 23.0, codes = ["L2"] }
[indices]
m_e = { low = 2.0, high = 4.0 }
"""


def test_own_reference_ranges_and_intervals_for_all_classes_at_once(
    file, count, monkeypatch, capsys, tmp_path
):
    own = tmp_path / "own.toml"
    own.write_text(OWN, encoding="utf-8")
    plain, document = count(file), count(file, "--interval", "goodman", "--reference", own)
    assert document["interval"] == "goodman"
    for code, row in document["classes"].items():
        if row["count"] and row["low"] is not None:
            assert row["low"] < plain["classes"][code]["low"]
    assert plain["references"] == {}
    assert document["references"]["ours"][0]["name"] == "lymphocytes"
    assert run(monkeypatch, "differential", file, "--reference", own) == 0
    said = capsys.readouterr().out
    assert "our laboratory" in said
    assert "usual 11–23" in said
    assert "120 healthy donors" in said
    assert "mark of" in said
    assert "no interval of a share" in refused(
        monkeypatch, capsys, "differential", file, "--interval", "wald"
    )
    assert "no reference set" in refused(monkeypatch, capsys, "differential", file, "--reference", "nowhere")
    assert run(monkeypatch, "export", file, "--to", tmp_path / "r.html", "--reference", own) == 0
    cells = tmp_path / "cells.csv"
    wrong = ("export", file, "--to", cells, "--to", tmp_path / "r.html", "--reference", "nowhere")
    assert "no reference set" in refused(monkeypatch, capsys, *wrong)
    assert not cells.exists()
    assert "our laboratory" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_table_of_cells_counts_as_its_analysis(file, analysis, count, tmp_path):
    write_csv(cells_table(analysis), tmp_path / "cells.csv")
    for rule in ("icsh", "deepheme"):
        wanted = count(file, "--rule", rule)
        found = count(tmp_path / "cells.csv", "--rule", rule)
        assert {k: v["count"] for k, v in found["classes"].items()} == {
            k: v["count"] for k, v in wanted["classes"].items()
        }
    assert count(file)["n_counted"] == differential_of(analysis).n_counted


def test_published_predictions_need_no_code(count, tmp_path):
    (tmp_path / "p.tsv").write_text(PREDICTIONS, encoding="utf-8")
    document = count(tmp_path / "p.tsv")
    assert {code: row["count"] for code, row in document["classes"].items()} == {"BLA": 1, "LYT": 2, "NGS": 0}
    assert document["classes"]["LYT"]["fraction"] == pytest.approx(2 / 3)


def test_what_cannot_be_counted_is_refused(file, monkeypatch, capsys, tmp_path):
    table, text = tmp_path / "p.tsv", tmp_path / "notes.txt"
    table.write_text(PREDICTIONS, encoding="utf-8")
    text.write_text("no table", encoding="utf-8")
    asked = ("differential", file, "--until", "U1:1")
    assert "U1 is not counted here" in refused(monkeypatch, capsys, *asked)
    assert "is a table" in refused(monkeypatch, capsys, "differential", table, "--detection-threshold", 0.5)
    assert "notes.txt" in refused(monkeypatch, capsys, "differential", text)
