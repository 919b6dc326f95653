"""The command ``train-detector`` as a user meets it, and what is done with its bundle."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from napari_deepheme import cli, synth
from napari_deepheme.detect.bundle import load_detector
from napari_deepheme.jobs import drain
from napari_deepheme.train import detector_bundle, scenes


@pytest.fixture(scope="module")
def marks(tmp_path_factory) -> Path:
    """Five rendered fields with a point on each cell."""
    folder, tables = tmp_path_factory.mktemp("fields"), []
    for seed in range(5):
        image = folder / f"{seed}.svs"
        truth = drain(synth.write_smear(image, synth.SmearSpec((200, 200), n_cells=6, seed=seed, mpp=0.4)))
        tables.append(pd.DataFrame({"image": image.name, "x": truth.x_px, "y": truth.y_px}))
    pd.concat(tables).to_csv(folder / "marks.csv", index=False)
    return folder / "marks.csv"


@pytest.fixture(scope="module")
def trained(marks, tmp_path_factory) -> Path:
    """A detector that knows nothing yet."""
    out = tmp_path_factory.mktemp("models") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector_bundle, "_SCENES", 8)
        patch.setattr(scenes, "SCENE_PX", 96)
        assert run(patch, "train-detector", marks, "--steps", 4, "--device", "cpu", "--out", out) == 0
    return out


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["napari-deepheme", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


def test_points_become_a_detector_that_the_other_commands_know(monkeypatch, capsys, trained):
    assert load_detector(trained).spec.training.metrics["cells, fields"] == 6
    assert run(monkeypatch, "models", "verify", trained) == 0
    assert "mine 1 is whole and passes its self-test" in capsys.readouterr().out
    assert run(monkeypatch, "models", "show", trained) == 0
    assert "mine: nucleated cells" in capsys.readouterr().out
    monkeypatch.setattr("napari_deepheme.models.bundle.EMBEDDED", trained.parent)
    assert run(monkeypatch, "models", "list", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["models"]
    assert (listed["name"], listed["kind"], listed["mpp"]) == ("mine", "detector", 0.5)


def test_a_slide_is_searched_with_it(monkeypatch, capsys, trained, toy_bundle_folder, smear_path, tmp_path):
    arguments = ["--out", tmp_path, "--model", toy_bundle_folder, "--detector", trained, "--device", "cpu"]
    assert run(monkeypatch, "classify", smear_path, *arguments, "--json") == 0
    (slide,) = json.loads(capsys.readouterr().out)["slides"]
    assert slide["detector"] == "mine 1"
    assert (tmp_path / "smear.cells.csv").exists()


def test_a_model_in_the_place_of_another_kind_is_refused(
    monkeypatch, capsys, trained, toy_bundle_folder, smear_path, tmp_path
):
    for arguments, message in (
        (["--detector", toy_bundle_folder], "holds a classifier; expected a detector"),
        (["--model", trained], "holds a detector; expected a classifier"),
    ):
        assert run(monkeypatch, "classify", smear_path, "--out", tmp_path / "out", *arguments) == 2
        assert_one_sentence(capsys.readouterr().err, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--mpp", "40"], "given by the user is 40"),
        (["--start", "gone.safetensors"], "gone.safetensors cannot be read as weights"),
        (["--device", "mps"], "not available"),
        (["--out", "SOURCE"], "is there already"),
    ],
)
def test_bad_options_are_one_line_and_leave_no_bundle(monkeypatch, capsys, marks, tmp_path, change, message):
    change = [str(marks.parent) if part == "SOURCE" else part for part in change]
    assert run(monkeypatch, "train-detector", marks, "--out", tmp_path / "out", "--steps", 4, *change) == 2
    assert_one_sentence(capsys.readouterr().err, message)
    assert not (tmp_path / "out").exists()


def test_marks_that_cannot_be_read_are_one_line(monkeypatch, capsys, tmp_path):
    table = tmp_path / "marks.csv"
    table.write_text("file,x\na.png,1\n")
    assert run(monkeypatch, "train-detector", table, "--out", tmp_path / "out") == 2
    assert_one_sentence(capsys.readouterr().err, "expected image and xmin, ymin, xmax, ymax")


def assert_one_sentence(error: str, message: str) -> None:
    assert message in " ".join(error.split())
    assert "Traceback" not in error
    assert len([line for line in error.strip().splitlines() if line.strip()]) == 1
