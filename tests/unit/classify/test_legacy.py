"""Checkpoints of the two published shapes, made here, against a plain torchvision forward pass."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from napari_deepheme.classify.bundle import Head
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.legacy import ImportOptions, import_checkpoints
from napari_deepheme.errors import BundleError
from napari_deepheme.models.device import Device

OPTIONS = ImportOptions()


class Published2023(nn.Module):
    """The preprint's network: torchvision's ResNeXt-50 with its 1000-way output and a small classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained = torchvision.models.resnext50_32x4d(weights=None)
        self.classifier = nn.Sequential(nn.Linear(1000, 100), nn.ReLU(), nn.Linear(100, 23))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pretrained(images)).sigmoid()


class Published2025(nn.Module):
    """The later network: the output replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained = torchvision.models.resnext50_32x4d(weights=None)
        self.pretrained.fc = nn.Linear(2048, 23)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.pretrained(images).softmax(dim=1)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 255, (2, 96, 96, 3), np.uint8)


def direct(network: nn.Module, crops: np.ndarray) -> np.ndarray:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (OPTIONS.mean, OPTIONS.std))
    images = (torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.inference_mode():
        return network.eval()(images).numpy()


def test_a_dataparallel_checkpoint_gives_its_sigmoid_scores_as_shares(tmp_path, crops):
    torch.manual_seed(0)
    network = Published2023()
    torch.save({"model_state_dict": nn.DataParallel(network).state_dict()}, tmp_path / "fold0.pt")
    bundle = import_checkpoints([tmp_path / "fold0.pt"], tmp_path / "bundle", OPTIONS)
    assert bundle.spec.head is Head.SIGMOID
    scores = direct(network, crops)
    members = Ensemble(bundle, Device.CPU).outputs(crops)[0][0]
    np.testing.assert_allclose(members, scores / scores.sum(axis=1, keepdims=True), atol=1e-5)


def test_lightning_checkpoints_become_the_members_of_one_ensemble(tmp_path, crops):
    networks = []
    for i in range(2):
        torch.manual_seed(i)
        networks.append(Published2025())
        torch.save({"state_dict": networks[i].state_dict(), "epoch": 19}, tmp_path / f"cycle{i}.ckpt")
    files = [tmp_path / "cycle0.ckpt", tmp_path / "cycle1.ckpt"]
    members, _ = Ensemble(import_checkpoints(files, tmp_path / "bundle", OPTIONS), Device.CPU).outputs(crops)
    expected = np.stack([direct(network, crops) for network in networks])
    np.testing.assert_allclose(members, expected, atol=1e-5)


class Harmful:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("harmed"),))


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"model_state_dict": Harmful()}, "cannot be read"),
        ({"weights": torch.zeros(1)}, "no model_state_dict"),
        ({"state_dict": {"backbone.conv1.weight": torch.zeros(1)}}, r"backbone\.conv1"),
        ({"state_dict": {"pretrained.fc.weight": torch.zeros(21, 8)}}, "21 classes"),
    ],
    ids=["code", "other-dict", "other-names", "other-classes"],
)
def test_other_files_are_refused_and_run_no_code(tmp_path, monkeypatch, saved, words):
    monkeypatch.chdir(tmp_path)
    torch.save(saved, "a.pt")
    with pytest.raises(BundleError, match=words):
        import_checkpoints([Path("a.pt")], tmp_path / "bundle", OPTIONS)
    assert not Path("harmed").exists()


def test_a_file_that_is_no_checkpoint_is_one_sentence(tmp_path):
    (tmp_path / "a.pt").write_text("hello")
    with pytest.raises(BundleError, match=r"a\.pt is missing or no checkpoint"):
        import_checkpoints([tmp_path / "a.pt"], tmp_path / "bundle", OPTIONS)
