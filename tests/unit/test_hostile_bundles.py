"""A bundle or recipe from anywhere must not run code, fill the memory, or end in a traceback."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from napari_deepheme.classify.bundle import load_bundle
from napari_deepheme.errors import BundleError, OptionError
from napari_deepheme.models.bundle import SPEC_FILE
from napari_deepheme.train.recipe import read_recipe


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.fixture
def folder(toy_bundle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_bundle_folder, tmp_path / "toy"))


def edit(folder: Path, **changes: object) -> None:
    spec = json.loads((folder / SPEC_FILE).read_text())
    (folder / SPEC_FILE).write_text(json.dumps(spec | changes))


@pytest.mark.parametrize(
    "key",
    ["checkpoint_path", "pretrained", "pretrained_cfg", "cache_dir", "scriptable", "features_only"],
)
def test_no_option_of_timm_that_opens_a_file_reaches_it(folder, tmp_path, key):
    """timm.create_model(checkpoint_path=…) unpickles what it is pointed at."""
    trap = tmp_path / "trap"
    (folder / "weights.pth").write_bytes(pickle.dumps(Payload(trap)))
    edit(folder, architecture={"name": "test_resnet", "kwargs": {key: str(folder / "weights.pth")}})
    with pytest.raises(BundleError, match=rf"architecture\.kwargs\.{key}"):
        load_bundle(folder)
    assert not trap.exists()


def test_a_recipe_is_held_to_the_same_list(tmp_path):
    changes = tmp_path / "changes.toml"
    changes.write_text('[architecture.kwargs]\ncheckpoint_path = "weights.pth"\n')
    with pytest.raises(OptionError, match=r"architecture\.kwargs\.checkpoint_path"):
        read_recipe("small", changes)


@pytest.mark.parametrize(
    "architecture",
    [
        {"name": "hf-hub:someone/model"},
        {"name": "local-dir:/tmp/model"},
        {"name": "test_resnet", "kwargs": {"drop_rate": "much"}},
        {"name": "test_resnet", "kwargs": {"img_size": 10**9}},
        {"name": "test_resnet", "classifier": [10**9, 10**9]},
    ],
    ids=str,
)
def test_names_and_values_are_bounded(folder, architecture):
    edit(folder, architecture=architecture)
    with pytest.raises(BundleError, match="architecture"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"input_px": 1},
        {"input_px": 10**9},
        {"magnifications": []},
        {"magnifications": [1000]},
        {"std": [0, 0, 0]},
        {"mean": ["Infinity", 0, 0]},
        {"mpp": 1e300},
        {"temperature": "Infinity"},
    ],
    ids=str,
)
def test_values_no_network_can_work_with_are_refused_at_opening(folder, changes):
    edit(folder, **changes)
    with pytest.raises(BundleError, match=next(iter(changes))):
        load_bundle(folder)


def test_a_class_that_comes_twice_would_be_counted_in_two_rows(folder):
    taxonomy = json.loads((folder / SPEC_FILE).read_text())["taxonomy"]
    taxonomy["classes"][1]["code"] = taxonomy["classes"][0]["code"]
    edit(folder, taxonomy=taxonomy)
    with pytest.raises(BundleError, match="B2 come twice"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "text",
    ["rate = inf", "std = [0, 0, 0]", "input_px = 1000000", "magnifications = []", "a = " + "[" * 100_000],
    ids=lambda text: text[:20],
)
def test_a_recipe_out_of_all_bounds_is_one_sentence(tmp_path, text):
    changes = tmp_path / "changes.toml"
    changes.write_text(text)
    with pytest.raises(OptionError, match=r"changes\.toml"):
        read_recipe("small", changes)
