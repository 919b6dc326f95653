"""The networks built here are timm's: the same tensors in, the same numbers out."""

import copy
import sys

import pytest
import timm
import torch
from torch import nn

from napari_deepheme.errors import BundleError
from napari_deepheme.models.networks import build_body, build_encoder, timm_import, without_weights
from napari_deepheme.models.networks.build import BODIES, ENCODERS
from napari_deepheme.models.spec import Architecture
from napari_deepheme.models.weights import fused

CLASSES = 7
ODD = (2, 3, 97, 83)


def unsettled(network: nn.Module) -> nn.Module:
    """The network with random weights and statistics everywhere, also where it begins with zeros or ones."""
    generator = torch.Generator().manual_seed(1)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            drawn = torch.rand(value.shape, generator=generator) + 0.5
            is_norm = value.ndim == 1 and "fc" not in name and "classifier" not in name
            value.copy_(drawn if is_norm else value + 0.01 * drawn)
    return network.eval()


def shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items()}


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert theirs.abs().max() > 1e-3  # outputs of nothing would be alike too
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-5)


@pytest.mark.parametrize("name", BODIES)
@torch.inference_mode()
def test_a_network_built_here_takes_timms_weights_and_gives_timms_outputs(name):
    theirs = unsettled(timm.create_model(name, num_classes=CLASSES))
    ours = build_body(Architecture(name=name), CLASSES)
    assert list(shapes(ours).items()) == list(shapes(theirs).items())
    ours.load_state_dict(theirs.state_dict())
    ours.eval()
    images = torch.randn(ODD, generator=torch.Generator().manual_seed(0))
    assert_same(ours(images), theirs(images))
    features = ours.forward_head(ours.forward_features(images), pre_logits=True)
    assert_same(features, theirs.forward_head(theirs.forward_features(images), pre_logits=True))
    assert_same(ours.get_classifier()(features), theirs(images))


@pytest.mark.parametrize("name", BODIES)
@torch.inference_mode()
def test_normalisations_are_taken_into_convolutions_as_in_timms_network(name):
    ours = unsettled(build_body(Architecture(name=name), CLASSES))
    images = torch.randn(ODD, generator=torch.Generator().manual_seed(0))
    before = ours(images)
    theirs = timm.create_model(name, num_classes=CLASSES)
    theirs.load_state_dict(ours.state_dict())
    after = fused(ours)
    left, left_theirs = (
        sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        for network in (after, fused(theirs.eval()))
    )
    assert left == left_theirs
    torch.testing.assert_close(after(images), before, atol=1e-4 * float(before.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
@torch.inference_mode()
def test_an_encoder_built_here_gives_timms_features(name):
    theirs = unsettled(timm.create_model(name, features_only=True, out_indices=(1, 2, 3)))
    ours, channels = build_encoder(Architecture(name=name))
    assert channels == tuple(theirs.feature_info.channels())
    assert list(shapes(ours).items()) == list(shapes(theirs).items())
    ours.load_state_dict(theirs.state_dict())
    ours.eval()
    for size in ((1, 3, 64, 96), ODD):
        images = torch.randn(size, generator=torch.Generator().manual_seed(0))
        for mine, other in zip(ours(images), theirs(images), strict=True):
            assert_same(mine, other)
        fused_ours = fused(copy.deepcopy(ours))
        for mine, other in zip(fused_ours(images), theirs(images), strict=True):
            torch.testing.assert_close(mine, other, atol=1e-4 * float(other.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("name", ["regnetx_002", "regnety_002", "resnext50_32x4d"])
def test_a_training_begins_with_the_weights_that_timm_would_draw(name):
    networks = []
    for build in (
        lambda: build_body(Architecture(name=name), CLASSES),
        lambda: timm.create_model(name, num_classes=CLASSES),
    ):
        torch.manual_seed(3)
        networks.append(build().state_dict())
    ours, theirs = networks
    assert all(torch.equal(ours[tensor], value) for tensor, value in theirs.items())


def test_weights_that_efficientnet_begins_with_are_spread_as_timms():
    name = "tf_efficientnet_lite0"
    ours = build_body(Architecture(name=name), CLASSES).state_dict()
    for tensor, value in timm.create_model(name, num_classes=CLASSES).state_dict().items():
        if value.ndim == 4:
            assert ours[tensor].std() == pytest.approx(float(value.std()), rel=0.3)
        elif value.ndim == 1:
            assert torch.equal(ours[tensor], value)


def test_a_network_without_weights_takes_no_memory_until_they_are_loaded():
    architecture = Architecture(name="regnety_002")
    weights = build_body(architecture, CLASSES).state_dict()
    with without_weights(architecture):
        network = build_body(architecture, CLASSES)
    assert all(value.is_meta for value in network.state_dict().values())
    network.load_state_dict(weights, assign=True)
    assert not any(value.is_meta for value in network.state_dict().values())


def test_options_are_left_to_timm():
    body = build_body(Architecture(name="regnety_002", kwargs={"output_stride": 16}), CLASSES)
    assert type(body).__module__.startswith("timm.")
    with pytest.raises(
        BundleError, match=r"cannot build regnety_002 with .*img_size.*take these options out"
    ):
        build_body(Architecture(name="regnety_002", kwargs={"img_size": 64}), CLASSES)


def test_an_unknown_network_is_one_clear_sentence():
    for build in (lambda a: build_body(a, CLASSES), build_encoder):
        with pytest.raises(BundleError, match="has no network 'regnety_2'; update timm"):
            build(Architecture(name="regnety_2"))


def test_triton_is_left_out_where_it_would_crash(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    seen = []
    monkeypatch.setattr(
        timm_import, "import_module", lambda name: seen.append(sys.modules.get("triton", "free"))
    )
    maps = tmp_path / "maps"
    monkeypatch.setattr(timm_import, "_MAPS", maps)
    for text in ("/usr/lib/libGL.so", "/usr/lib/libLLVM-15.so.1"):
        maps.write_text(text)
        timm_import.import_timm()
    assert seen == ["free", None]
    assert "triton" not in sys.modules
