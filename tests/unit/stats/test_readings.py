"""Readings of one slide from files: what agrees, what is put together, what is refused."""

import json

import pytest
from typer.testing import CliRunner

from napari_deepheme.cli import app
from napari_deepheme.errors import TableError
from napari_deepheme.given.counts import read_readings
from napari_deepheme.stats.readings import Reading, agreement

MANUAL = "class,Ann,Bob\nMyelocyte,20,25\nSegmented neutrophil,60,55\nLymphocyte,20,18\nArtefact,5,\n"


@pytest.fixture
def manual(tmp_path):
    path = tmp_path / "manual.csv"
    path.write_text(MANUAL)
    return path


def cells_csv(path, labels):
    rows = [f"{i},{10 * i}.4,{20 * i},{label}" for i, label in enumerate(labels)]
    path.write_text("\n".join(["cell_id,x_px,y_px,label", *rows]) + "\n")
    return path


def test_every_reader_of_a_manual_count_is_a_reading(manual):
    ann, bob = read_readings(manual)
    assert (ann.name, bob.name) == ("manual: Ann", "manual: Bob")
    assert ann.counts == {"M3": 20, "M6": 60, "L2": 20, "U1": 5}
    assert bob.counts["U1"] == 0


def test_shares_are_of_counted_cells_and_differences_have_signs(manual):
    (pair,) = agreement(read_readings(manual)).pairs
    rows = {row.code: row for row in pair.classes}
    assert pair.n == (100, 98)
    assert "U1" not in rows
    assert rows["M3"].difference == pytest.approx(25 / 98 - 0.2)
    assert rows["M3"].low < rows["M3"].difference < rows["M3"].high
    assert sum(row.difference for row in pair.classes) == pytest.approx(0, abs=1e-9)
    assert rows["L2"].agrees


def test_a_finer_reading_is_put_together_where_the_other_knows_only_the_coarser():
    stages = Reading("stages", {"ER2": 5, "ER3": 10, "ER4": 15, "M6": 70})
    coarse = Reading("coarse", {"EBO": 30, "M6": 70})
    (pair,) = agreement([stages, coarse]).pairs
    assert {row.code: row.difference for row in pair.classes} == {"EBO": 0.0, "M6": 0.0}
    assert pair.agreeing == 1.0


def test_cells_that_both_named_give_a_kappa(tmp_path):
    a = cells_csv(tmp_path / "a.csv", ["M6", "M6", "L2", "L2"])
    b = cells_csv(tmp_path / "b.csv", ["M6", "M6", "L2", "M6"])
    result = agreement([*read_readings(a), *read_readings(b)])
    assert result.pairs[0].shared_cells == 4
    assert result.pairs[0].kappa == pytest.approx(0.5)
    assert 0 < result.fleiss_kappa < 1


def test_a_reading_agrees_with_itself(manual):
    ann = read_readings(manual)[0]
    (pair,) = agreement([ann, ann]).pairs
    assert pair.agreeing == 1
    assert pair.bland_altman.bias == 0
    assert pair.deming.slope == pytest.approx(1)
    assert all(value == 1 for value in pair.within_rumke.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class,Ann\nMyelocyte,many\n", "expected a number of cells"),
        ("class,Ann\nGhost cell,3\n", "no taxonomy has a class for Ghost cell"),
        ("nothing\n1\n", "neither cells"),
    ],
)
def test_a_fault_of_a_table_is_told_in_a_sentence(tmp_path, text, said):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=said):
        read_readings(path)


def test_one_reading_or_an_empty_one_is_refused(manual):
    ann = read_readings(manual)[0]
    with pytest.raises(TableError, match="two readings"):
        agreement([ann])
    with pytest.raises(TableError, match="no cell of a counted class"):
        agreement([ann, Reading("none", {"U1": 4})])


def test_the_command_prints_a_table_or_one_document(manual):
    done = CliRunner().invoke(app, ["agree", str(manual), "--json"])
    assert done.exit_code == 0
    document = json.loads(done.output)
    assert document["pairs"][0]["kappa"] is None
    assert document["codes"] == ["M3", "M6", "L2"]
    done = CliRunner().invoke(app, ["agree", str(manual)], terminal_width=200)
    assert "Passing-Bablok" in done.output
    assert "Research use only" in done.output


def test_the_fields_of_a_reading_are_compared(tmp_path):
    """Each field holds one kind of cell: far more than chance, by Kish's design effect and by the test."""
    apart = tmp_path / "apart.csv"
    rows = [f"{i},{i},{i},{'M6' if i % 200 < 100 else 'L2'},field {i // 100}" for i in range(400)]
    apart.write_text("\n".join(["cell_id,x_px,y_px,label,region", *rows]) + "\n")
    alike = cells_csv(tmp_path / "alike.csv", ["M6", "L2"] * 50)
    result = agreement([*read_readings(apart), *read_readings(alike)])
    (spread,) = result.fields  # the other names no fields
    assert (spread.name, spread.fields) == ("apart", 4)
    assert spread.design_effect > 50
    assert spread.p < 1e-6
    assert spread.between["M6"] == pytest.approx(0.5, rel=0.2)
    assert json.loads(json.dumps(result.to_json()))["fields"][0]["between"]["L2"] > 0
    said = CliRunner().invoke(app, ["agree", str(apart), str(alike)], env={"COLUMNS": "200"}).output
    assert "apart: 4 fields, design effect" in said
    assert "alike: " not in said
