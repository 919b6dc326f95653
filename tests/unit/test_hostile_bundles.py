"""A bundle or recipe from anywhere must not run code, fill the memory, or end in a traceback."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from napari_deepheme.classify.bundle import load_bundle
from napari_deepheme.classify.legacy import read_checkpoint
from napari_deepheme.errors import BundleError, OptionError, OutputError
from napari_deepheme.models.bundle import SPEC_FILE
from napari_deepheme.synth import SmearSpec
from napari_deepheme.train.patches import _allocated
from napari_deepheme.train.recipe import read_recipe
from napari_deepheme.train.state import read_state, write_state


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
        {"mean": [0.5, 0.5, 1.1]},
        {"std": [0.2, 0.2, 255]},
        {"name": "n" * 201},
        {"version": "1\x1b[2J"},
        {"review": {"threshold": 0.5, "risk": 1.1, "confidence": 0.9}},
        {"conformal": {"threshold": 0.5, "coverage": -0.1}},
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


def pack(folder: Path, path: Path, **how) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **how) as packed:
        for each in folder.iterdir():
            packed.write(each, each.name)
    return path


def test_a_zip_that_unpacks_to_more_than_a_model_can_be_is_not_unpacked(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_deepheme.models.bundle._MAX_SPEC_BYTES", 2**20)
    (folder / SPEC_FILE).write_bytes(b" " * 2**24)
    with pytest.raises(BundleError, match="more than 1 MB"):
        load_bundle(pack(folder, tmp_path / "bomb.zip"))


def _flip(data: bytearray, packed: zipfile.ZipInfo) -> None:
    at = packed.header_offset + 30 + len(packed.filename)
    for i in range(at + 8, at + 24):
        data[i] ^= 0xFF


def _encrypt(data: bytearray, packed: zipfile.ZipInfo) -> None:
    data[packed.header_offset + 6] |= 1
    entry = data.rindex(packed.filename.encode()) - 46
    data[entry + 8] |= 1


def _unknown(data: bytearray, packed: zipfile.ZipInfo) -> None:
    data[packed.header_offset + 8] = 99
    entry = data.rindex(packed.filename.encode()) - 46
    data[entry + 10] = 99


@pytest.mark.parametrize("how", [_flip, _encrypt, _unknown])
def test_a_damaged_zip_is_one_sentence(folder, tmp_path, how):
    path = pack(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(path) as packed:
        entry = packed.getinfo(SPEC_FILE)
    data = bytearray(path.read_bytes())
    how(data, entry)
    path.write_bytes(data)
    with pytest.raises(BundleError, match="bundle"):
        load_bundle(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_member_that_is_no_file_is_not_opened(folder):
    member = folder / "member-0.safetensors"
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        member.unlink()
        make(member)
        with pytest.raises(BundleError, match=r"member-0\.safetensors is missing or unreadable .it is a"):
            load_bundle(folder)


def test_a_self_test_must_be_a_picture_of_reasonable_size(folder):
    spec = json.loads((folder / SPEC_FILE).read_text())
    bomb = BytesIO()
    Image.new("1", (20000, 20000)).save(bomb, "PNG")
    for content in (b"no picture", bomb.getvalue()):
        (folder / "self-test.png").write_bytes(content)
        digest = sha256(content).hexdigest()
        edit(folder, self_test=spec["self_test"] | {"sha256": digest})
        with pytest.raises(BundleError, match=r"self-test\.png is no self-test image"):
            load_bundle(folder)


def test_a_card_of_hundreds_of_megabytes_is_not_read(folder):
    bundle = load_bundle(folder)
    with (folder / "MODEL_CARD.md").open("wb") as card:
        card.truncate(2**20 + 1)
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md is missing or unreadable .it is larger than 1 MB"):
        _ = bundle.card


def test_a_card_in_another_encoding_is_shown_as_far_as_it_goes(folder):
    (folder / "MODEL_CARD.md").write_bytes(b"caf\xe9")
    assert load_bundle(folder).card == "caf\ufffd"


@pytest.mark.parametrize(
    "saved",
    [
        [1, 2],
        None,
        {"state_dict": None},
        {"state_dict": {1: torch.zeros(1)}},
        {"state_dict": {"pretrained.fc.weight": torch.zeros(11, 4).to_sparse()}},
        {"state_dict": {"pretrained.fc.weight": torch.zeros(1).expand(11, 2**33)}},
        {"state_dict": {"pretrained.fc.weight": torch.zeros(())}},
        {"state_dict": {"classifier.2.weight": torch.zeros(11, 4)}},
        {"state_dict": {"pretrained.fc.weight": "text"}},
    ],
    ids=lambda saved: str(saved)[:50],
)
def test_a_strange_checkpoint_is_one_sentence(tmp_path, saved):
    torch.save(saved, tmp_path / "a.pth")
    with pytest.raises(BundleError, match=r"a\.pth"):
        read_checkpoint(tmp_path / "a.pth", 11)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.99])
def test_a_checkpoint_cut_short_is_one_sentence(tmp_path, kept):
    torch.save({"state_dict": {"pretrained.fc.weight": torch.zeros(11, 400)}}, tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(data[: int(kept * len(data))])
    with pytest.raises(BundleError, match=r"a\.pth"):
        read_checkpoint(tmp_path / "a.pth", 11)


def test_a_flipped_bit_in_the_state_of_a_training_is_noticed(tmp_path):
    file, state = tmp_path / "state.pt", {"network": {"w": torch.arange(5000.0)}}
    write_state(file, state)
    back: Any = read_state(file, torch.device("cpu"))
    assert torch.equal(back["network"]["w"], state["network"]["w"])
    whole = bytearray(file.read_bytes())
    for at in range(20, len(whole), len(whole) // 15):
        data = bytearray(whole)
        data[at] ^= 0x10
        file.write_bytes(data)
        with pytest.raises(OptionError, match=r"state\.pt: the state of the unfinished training is damaged"):
            read_state(file, torch.device("cpu"))
    for kept in (0, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:kept])
        with pytest.raises(OptionError, match="delete the folder"):
            read_state(file, torch.device("cpu"))


def test_a_state_of_an_earlier_version_is_still_read(tmp_path):
    torch.save({"step": 3}, tmp_path / "state.pt")
    assert read_state(tmp_path / "state.pt", torch.device("cpu")) == {"step": 3}


def test_patches_without_room_on_the_disk_are_one_sentence(tmp_path, monkeypatch):
    """Written through a map, a full disk ends the process with a bus error."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match=r"patches\.npy needs .* GB that cannot be had"):
        _allocated(tmp_path / "patches.npy", (100, 144, 144, 3))
    monkeypatch.undo()
    pixels = _allocated(tmp_path / "patches.npy", (10, 144, 144, 3))
    pixels[:] = 7
    assert (tmp_path / "patches.npy").stat().st_blocks * 512 >= pixels.nbytes


def test_a_smear_that_nobody_can_render_is_refused():
    for shape, cells in (((10**6, 10**6), 1), ((100, 100), 10**9)):
        with pytest.raises(OptionError, match="cannot be rendered"):
            SmearSpec(shape, cells)
