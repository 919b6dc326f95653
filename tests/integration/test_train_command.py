"""The command ``train`` as a user meets it, kill -9 and all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load

from napari_deepheme import cli, load_bundle
from napari_deepheme.classify.ensemble import Ensemble

TINY = """
architecture = { name = "test_resnet" }
start = "scratch"
cycles = 2
epochs = 3
batch_size = 12
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Path:
    """Three classes in the folders of the blood set."""
    folder = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    for label, colour in {"LY": (70, 30, 120), "EO": (220, 90, 70), "SNE": (90, 140, 200)}.items():
        (folder / label).mkdir()
        for i in range(16):
            image = np.full((80, 80, 3), 235.0)
            y, x = np.mgrid[:80, :80] - 40
            image[np.hypot(y, x) < 20] = colour
            image += rng.normal(0, 25, (16, 16, 3)).repeat(5, axis=0).repeat(5, axis=1)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / label / f"{i:02}.png")
    return folder


@pytest.fixture
def config(tmp_path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    return file


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["napari-deepheme", "train", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


def test_a_training_survives_kill_9(monkeypatch, capsys, cells, config, tmp_path):
    common = [cells, "--mpp", 0.25, "--config", config]
    assert run(monkeypatch, *common, "--out", tmp_path / "whole") == 0
    assert "Research use only" in capsys.readouterr().out
    command = [sys.executable, "-m", "napari_deepheme", "train", *map(str, common)]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "killed")])
    state = tmp_path / "killed.training" / "fold-0" / "state.pt"
    while not state.exists() and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert run(monkeypatch, *common, "--out", tmp_path / "killed", "--resume") == 0
    whole, killed = (load_bundle(tmp_path / name) for name in ("whole", "killed"))
    assert killed.spec.training.metrics == whole.spec.training.metrics
    assert killed.read("learning-rate.csv") == whole.read("learning-rate.csv")
    Ensemble(killed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--recipe", "large"], "no recipe 'large'"),
        (["--mpp", "40"], "implausible"),
        (["--taxonomy", "none"], "none is no file and no taxonomy"),
        (["--taxonomy", "munich-21", "--config", "gone.toml"], "gone.toml cannot be read"),
        (["--device", "mps"], "not available"),
    ],
)
def test_bad_input_is_one_line_and_costs_nothing(monkeypatch, capsys, cells, tmp_path, change, message):
    arguments = [cells, "--mpp", 0.25, "--out", tmp_path / "out", *change]
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_deepheme_recipe_runs_on_a_cpu(monkeypatch, shared, tmp_path):
    subset = tmp_path / "subset"
    for folder in sorted((shared / "pbc" / "train").iterdir()):
        (subset / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:12]:
            (subset / folder.name / file.name).symlink_to(file)
    config = tmp_path / "two.toml"
    config.write_text("cycles = 2\nepochs = 1\nbatch_size = 16\n")
    arguments = [subset, "--mpp", 0.2, "--recipe", "deepheme", "--taxonomy", "pbc-11", "--start", "scratch"]
    assert run(monkeypatch, *arguments, "--config", config, "--out", tmp_path / "bundle") == 0
    bundle = load_bundle(tmp_path / "bundle")
    assert (bundle.spec.architecture.name, len(bundle.spec.members)) == ("resnext50_32x4d", 2)
    Ensemble(bundle)


def test_a_training_starts_from_a_bundle_with_its_network(cells, tmp_path, toy_bundle_folder, monkeypatch):
    config = tmp_path / "short.toml"
    config.write_text("cycles = 1\nepochs = 1\nbatch_size = 12\nrate = 1e-12\nweight_decay = 0.0\n")
    words = [cells, "--out", tmp_path / "tuned", "--mpp", "0.25", "--config", config]
    words += ["--taxonomy", "pbc-11", "--start", toy_bundle_folder]
    monkeypatch.setattr("sys.argv", ["napari-deepheme", "train", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    tuned, parent = load_bundle(tmp_path / "tuned"), load_bundle(toy_bundle_folder)
    assert (tuned.spec.architecture, tuned.spec.mean) == (parent.spec.architecture, parent.spec.mean)
    learned, before = (load(each.read(each.spec.members[-1].file)) for each in (tuned, parent))
    name = next(name for name, value in before.items() if value.ndim == 4)
    assert torch.equal(learned[name], before[name].half())
