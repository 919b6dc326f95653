"""The command ``adapt`` as a user meets it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_deepheme import cli, load_bundle
from napari_deepheme.classify.ensemble import Ensemble


@pytest.fixture
def labels(tmp_path) -> Path:
    """Two classes that the model knows and one it does not, in folders."""
    rng = np.random.default_rng(0)
    for label, colour in {"LY": (70, 30, 120), "EO": (220, 90, 70), "PLM": (90, 140, 200)}.items():
        (tmp_path / "labels" / label).mkdir(parents=True)
        for i in range(6):
            image = np.full((80, 80, 3), 235.0)
            y, x = np.mgrid[:80, :80] - 40
            image[np.hypot(y, x) < 20] = colour
            image += rng.normal(0, 12, (16, 16, 3)).repeat(5, axis=0).repeat(5, axis=1)
            file = tmp_path / "labels" / label / f"{i}.png"
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file)
    return tmp_path / "labels"


def run(monkeypatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["napari-deepheme", "adapt", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code or 0


def test_a_folder_becomes_a_model_of_ones_own_that_says_what_it_is(
    labels, tmp_path, toy_bundle_folder, monkeypatch, capsys
):
    out = tmp_path / "mine"
    code = run(monkeypatch, labels, "--model", toy_bundle_folder, "--out", out, "--mpp", 0.25, "--json")
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert document["labels"] == {"E4": 6, "L2": 6, "L4": 6}
    assert document["after"]["accuracy"] >= document["before"]["accuracy"]
    assert any("by image" in warning for warning in document["warnings"])
    bundle = load_bundle(out)
    members, _ = Ensemble(bundle).outputs(np.zeros((1, 96, 96, 3), np.uint8))
    assert members.shape[1:] == (1, 12)
    assert run(monkeypatch, labels, "--model", toy_bundle_folder, "--out", out, "--mpp", 0.25) == 2
    assert "is there already" in capsys.readouterr().err


def test_what_cannot_work_is_one_line_and_exit_code_2(
    labels, tmp_path, toy_bundle_folder, monkeypatch, capsys
):
    asked = ("--model", toy_bundle_folder, "--out", tmp_path / "mine")
    cases = [((labels, *asked), "--mpp"), ((labels, *asked, "--mpp", 0.9), "too coarse")]
    for words, said in cases:
        assert run(monkeypatch, *words) == 2
        assert said in capsys.readouterr().err
    for file in list((labels / "EO").iterdir())[2:]:
        file.unlink()
    assert run(monkeypatch, labels, *asked, "--mpp", 0.25) == 2
    said = capsys.readouterr().err
    assert "Fewer than 3 labelled cells of E4 (2)" in said
    assert said.strip().count("\n") == 0
    assert not (tmp_path / "mine").exists()
