import csv
import json
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from napari_deepheme.classify import making
from napari_deepheme.classify.bundle import Head, load_bundle
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.network import build_network
from napari_deepheme.errors import OptionError
from napari_deepheme.jobs import drain
from napari_deepheme.models.device import Precision
from napari_deepheme.taxonomy import PBC_11, Taxonomy
from napari_deepheme.train import training
from napari_deepheme.train.recipe import Recipe, read_recipe
from napari_deepheme.train.training import Training, TrainOptions, train

COLOURS = {"LY": (70, 30, 120), "EO": (220, 90, 70), "SNE": (90, 140, 200)}
THREE = Taxonomy("three", tuple(PBC_11[code] for code in ("E4", "L2", "M6")))


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Path:
    """Three kinds of blob, each picture with texture of its own."""
    folder = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / label).mkdir()
        for i in range(20):
            image = np.full((80, 80, 3), 235.0)
            y, x = np.mgrid[:80, :80] - 40
            image[np.hypot(y, x) < 18 + i % 3] = colour
            image += rng.normal(0, 25, (16, 16, 3)).repeat(5, axis=0).repeat(5, axis=1)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / label / f"{i:02}.png")
    return folder


@pytest.fixture
def options(cells, tmp_path) -> TrainOptions:
    return TrainOptions(cells, tmp_path / "bundle", tiny(), THREE, mpp=0.25)


def tiny(**changes) -> Recipe:
    values = read_recipe("small").model_dump() | {
        "architecture": {"name": "test_resnet"},
        "start": "scratch",
        "cycles": 2,
        "epochs": 2,
        "keep": "last",
        "batch_size": 12,
        "rate": 0.01,
    }
    return Recipe.model_validate(values | changes)


@pytest.fixture(scope="module")
def trained(cells, tmp_path_factory) -> tuple[TrainOptions, Training]:
    """What the options of these tests make, made once."""
    options = TrainOptions(cells, tmp_path_factory.mktemp("whole") / "bundle", tiny(), THREE, mpp=0.25)
    return options, drain(train(options))


def killed(options: TrainOptions, at_step: int) -> None:
    """Begin a training and drop it, state on disk and all, in the middle of an epoch."""
    job = train(options)
    for progress in job:
        if progress.stage == "Training" and progress.done >= at_step:
            job.close()
            return
    raise AssertionError("the training ended before it could be killed")


def test_a_folder_becomes_a_bundle_that_verifies_and_tells_where_it_comes_from(trained, cells):
    options, finished = trained
    Ensemble(load_bundle(options.out))  # the self-test
    spec = finished.bundle.spec
    assert spec.class_prior is not None
    assert (len(spec.members), spec.taxonomy.codes) == (2, ("E4", "L2", "M6"))
    assert spec.temperature > 0
    assert spec.training.metrics["cells"] == 6
    assert "48 to learn from, 6 to calibrate, 6 to measure" in spec.training.split
    card = finished.bundle.card
    assert "Research use only" in card
    assert "split is by image" in card
    assert str(cells.parent) not in card
    record = tomllib.loads(finished.bundle.read("training.toml").decode())
    assert Recipe.model_validate(record["recipe"]) == options.recipe
    assert not options.out.with_name("bundle.training").exists()


def test_rare_classes_are_expected_as_rarely_as_the_recipe_says(trained, options):
    rare = replace(options, recipe=tiny(rare={"L2": 0.04, "U1": 0.5}))
    plain, expecting = trained[1].bundle, drain(train(rare)).bundle
    assert plain.spec.class_prior == pytest.approx((1 / 3,) * 3)
    assert expecting.spec.class_prior == pytest.approx((0.48, 0.04, 0.48))
    crops = np.random.default_rng(0).integers(0, 255, (9, 96, 96, 3), np.uint8)
    before, after = (
        Ensemble(bundle, precision=Precision.FP32).outputs(crops)[0] for bundle in (plain, expecting)
    )
    weighted = before * (0.48, 0.04, 0.48)
    np.testing.assert_allclose(after, weighted / weighted.sum(axis=2, keepdims=True), atol=5e-3)


def test_a_bundle_says_how_its_crops_are_seen_and_whether_they_bear_bfloat16(options):
    twice = replace(options, recipe=tiny(test_time_views=[1.0, 0.9]))
    spec = drain(train(twice)).bundle.spec
    assert spec.views == (1.0, 0.9)
    assert spec.bf16


def test_a_bundle_whose_calls_bfloat16_changes_says_so(options, monkeypatch):
    class Fickle(Ensemble):
        def outputs(self, crops, stain=None):
            members, features = super().outputs(crops, stain)
            if self._runner.dtype is torch.float32:
                return members, features
            return members[..., ::-1], features

    monkeypatch.setattr(making, "Ensemble", Fickle)
    assert not drain(train(options)).bundle.spec.bf16


def test_the_learning_rates_in_the_bundle_follow_the_formula(trained):
    bundle = trained[1].bundle
    rows = list(csv.DictReader(bundle.read("learning-rate.csv").decode().splitlines()))
    per_cycle = 2 * (48 // 12)
    expected = [0.005 * (math.cos(math.pi * (t % per_cycle) / per_cycle) + 1) for t in range(2 * per_cycle)]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(expected, abs=1e-15)
    assert [row["cycle"] for row in rows] == ["0"] * per_cycle + ["1"] * per_cycle


@pytest.mark.parametrize("at_step", [2, 6, 13])
def test_a_training_that_was_killed_goes_on_to_the_same_bundle(trained, options, at_step):
    whole = trained[1].bundle
    killed(options, at_step)
    resumed = drain(train(replace(options, resume=True))).bundle
    assert resumed.spec.training.metrics == whole.spec.training.metrics
    for member in whole.spec.members:
        assert resumed.read(member.file) == whole.read(member.file)
    assert resumed.read("learning-rate.csv") == whole.read("learning-rate.csv")


def test_an_unfinished_training_is_neither_overwritten_nor_mixed_with_another(options):
    killed(options, 2)
    with pytest.raises(OptionError, match="add --resume, or remove"):
        drain(train(options))
    with pytest.raises(OptionError, match="is another one"):
        drain(train(replace(options, resume=True, seed=5)))


def test_a_bundle_is_not_overwritten(options):
    options.out.mkdir()
    (options.out / "bundle.json").write_text("{}")
    with pytest.raises(OptionError, match="is there already"):
        drain(train(options))


def test_folds_make_a_member_each_and_every_cell_is_left_out_once(options, monkeypatch):
    parts = []
    real = training.Sampler

    def spy(patches, split, recipe, seed):
        parts.append(split)
        return real(patches, split, recipe, seed)

    monkeypatch.setattr(training, "Sampler", spy)
    recipe = tiny(folds=3, cycles=1, epochs=1, head="sigmoid")
    bundle = drain(train(replace(options, recipe=recipe))).bundle
    assert (len(bundle.spec.members), bundle.spec.head) == (3, Head.SIGMOID)
    left_out = np.concatenate([val for _, val in parts])
    assert len(left_out) == len(set(left_out)) == 48
    assert all(not set(learned) & set(val) for learned, val in parts)


def test_images_that_cannot_be_read_are_listed(options, cells, tmp_path):
    mixed = tmp_path / "mixed"
    for label in COLOURS:
        (mixed / label).mkdir(parents=True)
        for file in (cells / label).iterdir():
            (mixed / label / file.name).write_bytes(file.read_bytes())
    (mixed / "EO" / "broken.png").write_bytes(b"no picture")
    finished = drain(train(replace(options, dataset=mixed)))
    assert any("broken.png" in warning for warning in finished.warnings)
    assert "broken.png" in finished.bundle.card


def test_a_given_split_is_kept_and_its_validation_half_calibrates_and_measures(options, cells, tmp_path):
    rows = ["path,label,split"]
    for label in COLOURS:
        for file in sorted((cells / label).iterdir()):
            rows.append(f"{file},{label},{'val' if int(file.stem) >= 14 else 'train'}")
    table = tmp_path / "set.csv"
    table.write_text("\n".join(rows))
    bundle = drain(train(replace(options, dataset=table))).bundle
    assert bundle.spec.training.split == "as given: 42 to learn from, 9 to calibrate, 9 to measure"


def test_patients_too_few_to_measure_apart_are_said(options, cells, tmp_path):
    rows = ["path,label,patient"]
    for label in COLOURS:
        rows += [f"{f},{label},{'ab'[int(f.stem) >= 16]}" for f in sorted((cells / label).iterdir())]
    table = tmp_path / "set.csv"
    table.write_text("\n".join(rows))
    finished = drain(train(replace(options, dataset=table)))
    assert any("calibrated and measured on the same cells" in warning for warning in finished.warnings)


def test_training_starts_from_a_file_of_weights(options, tmp_path):
    torch.manual_seed(9)
    network = build_network(options.recipe.architecture, 7)  # of other classes: all but the last layer fits
    file = tmp_path / "start.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, file)
    still = {"rate": 1e-12, "cycles": 1, "epochs": 1, "weight_decay": 0.0}
    bundle = drain(train(replace(options, recipe=tiny(start=str(file), **still)))).bundle
    first = next(name for name, value in load_file(file).items() if value.ndim == 4)
    learned = load_file(options.out / bundle.spec.members[0].file)[first]
    assert torch.equal(learned, load_file(file)[first].half())
    assert "started from start.safetensors" in bundle.card


def test_weights_that_cannot_be_had_are_said_in_a_sentence(options, tmp_path, monkeypatch):
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(OptionError, match="expected weights of the same network"):
        drain(train(replace(options, recipe=tiny(start=str(other)))))
    with pytest.raises(OptionError, match="cannot be read as weights"):
        drain(train(replace(options, out=tmp_path / "b", recipe=tiny(start=str(tmp_path / "no.pth")))))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(OptionError, match="ImageNet weights of test_resnet cannot be had"):
        drain(train(replace(options, out=tmp_path / "c", recipe=tiny(start="imagenet"))))


def test_a_recipe_is_changed_key_by_key_and_nonsense_is_refused(tmp_path):
    changes = tmp_path / "changes.toml"
    changes.write_text("cycles = 7\n[views]\njpeg = 0.9\n")
    recipe = read_recipe("deepheme", changes)
    assert (recipe.cycles, recipe.epochs, recipe.views.jpeg) == (7, 20, 0.9)
    assert recipe.views.noise == read_recipe("deepheme").views.noise
    changes.write_text("cycels = 7\n")
    with pytest.raises(OptionError, match="cycels does not fit a recipe"):
        read_recipe("deepheme", changes)
    changes.write_text("cycles = = 7\n")
    with pytest.raises(OptionError, match="cannot be read as TOML"):
        read_recipe("deepheme", changes)
    with pytest.raises(OptionError, match="no recipe 'large'"):
        read_recipe("large")


def test_rare_classes_of_a_recipe_can_be_changed_and_taken_out(tmp_path):
    changes = tmp_path / "changes.toml"
    for text, rare in (("rare = { M1 = 0.02 }", {"U1": 0.01, "M1": 0.02}), ("rare = {}", {})):
        changes.write_text(text)
        assert read_recipe("small", changes).rare == rare


def test_the_published_recipes_are_as_published():
    deepheme, preprint, munich = (read_recipe(name) for name in ("deepheme", "preprint", "munich"))
    assert (deepheme.architecture.name, deepheme.cycles, deepheme.epochs) == ("resnext50_32x4d", 5, 20)
    assert (deepheme.rate, deepheme.weight_decay, deepheme.input_px) == (1e-3, 5e-4, 96)
    assert (preprint.folds, preprint.epochs, preprint.head, preprint.batch_size) == (5, 30, "sigmoid", 1024)
    assert (munich.taxonomy, munich.epochs, munich.folds, munich.balance) == ("munich-21", 13, 5, 1.0)


def test_a_recipe_survives_its_own_toml(tmp_path):
    recipe = read_recipe("preprint")
    file = tmp_path / "recipe.toml"
    file.write_text(recipe.to_toml())
    assert read_recipe("small", file) == recipe
    assert json.loads(recipe.model_dump_json())["architecture"]["name"] == "resnext50_32x4d"
