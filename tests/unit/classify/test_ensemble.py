import json
import shutil
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from safetensors.torch import load
from toys import MEAN, STD, make_bundle

from napari_deepheme.classify.bundle import Head, NetworkFacts, OutOfDistribution, load_bundle
from napari_deepheme.classify.ensemble import Ensemble, _view
from napari_deepheme.classify.network import build_network, features_and_logits, load_member
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.classify.stain import StainColours, StainMatching
from napari_deepheme.errors import BundleError, OptionError
from napari_deepheme.models.bundle import SPEC_FILE, save_bundle
from napari_deepheme.models.device import Device, Precision
from napari_deepheme.models.spec import Architecture

HALF = 1e-3
"""What half precision loses of a probability."""

FILES = ("member-0.safetensors", "member-1.safetensors", "self-test.png", "MODEL_CARD.md")


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (5, 96, 96, 3), np.uint8)


def direct(bundle, crops: np.ndarray) -> np.ndarray:
    """Member probabilities by a plain forward pass."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    images = (torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.inference_mode():
        members = [load_member(bundle, m, torch.device("cpu")) for m in bundle.spec.members]
        return np.stack([member(images).softmax(1).numpy() for member in members])


def test_what_the_members_say_is_kept_as_it_is(toy_bundle, crops):
    raw = Ensemble(toy_bundle, Device.CPU).run(crops)
    np.testing.assert_allclose(raw.members, direct(toy_bundle, crops), atol=HALF)


def test_batches_do_not_change_what_a_cell_is(toy_bundle, crops):
    whole = Ensemble(toy_bundle, Device.CPU).run(crops)
    small = Ensemble(toy_bundle, Device.CPU, batch_size=2).run(crops)
    np.testing.assert_allclose(small.members, whole.members, atol=HALF)
    assert len(Ensemble(toy_bundle, Device.CPU).run(crops[:0])) == 0


def test_a_batch_too_large_for_the_memory_is_halved(toy_bundle, crops, monkeypatch):
    ensemble = Ensemble(toy_bundle, Device.CPU, batch_size=4)
    run = ensemble._batch

    passed = []

    def tight(*asked: object) -> object:
        passed.append(len(asked[-1]))
        if passed[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(*asked)

    monkeypatch.setattr(ensemble, "_batch", tight)
    assert len(ensemble.run(crops)) == 5
    passed.clear()
    ensemble.run(crops)
    assert max(passed) == 2  # for good


def seeing(toy_bundle, folder, *magnifications: float) -> Ensemble:
    """The toy bundle, but its crops are seen so; its self-test no longer fits."""
    spec = toy_bundle.spec.model_copy(update={"views": magnifications})
    save_bundle(folder, spec, {name: toy_bundle.read(name) for name in FILES})
    return Ensemble(load_bundle(folder), Device.CPU, checked=False)


def test_crops_seen_several_times_are_turned_and_their_probabilities_averaged(toy_bundle, crops, tmp_path):
    once = Ensemble(toy_bundle, Device.CPU)
    turned = [crops, crops[:, :, ::-1], crops[:, ::-1], crops.swapaxes(1, 2), crops]
    for n in (2, 5):
        seen, _ = seeing(toy_bundle, tmp_path / str(n), *[1.0] * n).outputs(crops)
        expected = np.mean([once.outputs(each)[0] for each in turned[:n]], axis=0)
        np.testing.assert_allclose(seen, expected, atol=1e-5)


@pytest.mark.parametrize(("magnification", "radius"), [(1.25, 25.0), (0.75, 15.0), (1.0, 20.0)])
def test_a_magnified_crop_is_enlarged_about_its_middle(magnification, radius):
    def disc(radius: float) -> torch.Tensor:
        y, x = torch.meshgrid(*[torch.arange(96) - 47.5] * 2, indexing="ij")
        return (torch.hypot(y, x) < radius).float().expand(2, 3, 96, 96)

    seen, expected = _view(disc(20.0), magnification, 0), disc(radius)
    assert seen.shape == expected.shape
    assert (seen - expected).abs().mean() < 0.02
    assert abs(seen.sum() / expected.sum() - 1) < 0.02
    torch.testing.assert_close(seen, seen.flip(2, 3))


def test_only_what_bears_bfloat16_is_run_in_it_unasked(toy_bundle, crops, tmp_path):
    exact, _ = Ensemble(toy_bundle, Device.CPU, Precision.FP32).outputs(crops)
    asked, _ = Ensemble(toy_bundle, Device.CPU, Precision.BF16).outputs(crops)
    np.testing.assert_array_equal(Ensemble(toy_bundle, Device.CPU).outputs(crops)[0], exact)
    assert 0 < np.abs(asked - exact).max() < 0.01


def test_sigmoid_scores_are_brought_to_one_sum_without_a_softmax(tmp_path, crops):
    members, _ = Ensemble(load_bundle(make_bundle(tmp_path / "s", head=Head.SIGMOID)), Device.CPU).outputs(
        crops
    )
    np.testing.assert_allclose(members.sum(axis=2), 1.0, atol=1e-5)


def test_a_wrong_build_is_caught_by_the_self_test(tmp_path):
    folder = make_bundle(tmp_path / "toy")
    spec = json.loads((folder / SPEC_FILE).read_text())
    spec["self_test"]["expected"] = [1.0] + [0.0] * 10
    (folder / SPEC_FILE).write_text(json.dumps(spec))
    with pytest.raises(BundleError, match="self-test"):
        Ensemble(load_bundle(folder), Device.CPU)


def test_weights_of_another_network_are_one_clear_sentence(tmp_path):
    folder = make_bundle(tmp_path / "toy")
    spec = json.loads((folder / SPEC_FILE).read_text())
    spec["architecture"]["name"] = "test_efficientnet"
    (folder / SPEC_FILE).write_text(json.dumps(spec))
    with pytest.raises(BundleError, match=r"member-0\.safetensors do not fit test_efficientnet"):
        Ensemble(load_bundle(folder), Device.CPU)


def test_a_network_is_never_fetched_from_the_internet(toy_bundle):
    architecture = toy_bundle.spec.architecture.model_copy(update={"name": "hf-hub:someone/something"})
    with pytest.raises(BundleError, match="hf-hub"):
        build_network(architecture, 11)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_named(toy_bundle):
    with pytest.raises(OptionError, match="cuda"):
        Ensemble(toy_bundle, Device.CUDA)


def test_the_embedded_ensemble_passes_its_self_test():
    bundle = load_bundle("pbc-11")
    ensemble = Ensemble(bundle, Device.CPU)
    parameters = sum(
        p.numel() for p in load_member(bundle, bundle.spec.members[0], torch.device("cpu")).parameters()
    )
    assert parameters <= 5e6
    assert ensemble.device.type == "cpu"


def test_features_and_outputs_are_those_of_the_whole_network(crops):
    for architecture in (
        Architecture(name="test_resnet"),
        Architecture(name="regnety_002"),
        Architecture(name="test_resnet", classifier=(7, 5)),
    ):
        network = build_network(architecture, 11).eval()
        images = torch.from_numpy(crops[:2]).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            features, logits = features_and_logits(network, images)
            torch.testing.assert_close(logits, network(images))
        assert features.shape[0] == 2


def test_a_bundle_that_knows_its_cells_tells_how_far_others_are(
    toy_bundle, toy_bundle_folder, crops, tmp_path
):
    plain = Ensemble(toy_bundle, Device.CPU)
    assert np.isnan(plain.run(crops).distance).all()
    rng = np.random.default_rng(0)
    many = rng.integers(100, 140, (60, 96, 96, 3), np.uint8)
    content = OodReference.of(plain.features(many), np.repeat([0, 1], 30)).to_bytes()
    folder = tmp_path / "knowing"
    shutil.copytree(toy_bundle_folder, folder)
    (folder / "novelty.safetensors").write_bytes(content)
    novelty = OutOfDistribution(
        file="novelty.safetensors", sha256=sha256(content).hexdigest(), threshold=2.0, quantile=0.99
    )
    save_bundle(folder, toy_bundle.spec.model_copy(update={"ood": novelty}), {})
    knowing = Ensemble(load_bundle(folder), Device.CPU)
    alike, unlike = knowing.run(many), knowing.run(crops)
    assert unlike.distance.min() > alike.distance.max()
    assert alike.distance.max() < novelty.threshold < unlike.distance.min()
    (folder / "novelty.safetensors").write_bytes(content + b" ")
    with pytest.raises(BundleError, match="SHA-256 differs"):
        load_bundle(folder)


def test_networks_in_memory_give_what_their_bundle_gives(toy_bundle, crops):
    spec = toy_bundle.spec
    networks = [build_network(spec.architecture, len(spec.taxonomy.classes)) for _ in spec.members]
    for network, member in zip(networks, spec.members, strict=True):
        network.load_state_dict(load(toy_bundle.read(member.file)))
    ensemble = Ensemble.from_networks(networks, NetworkFacts.of(spec))
    members, features = ensemble.outputs(crops)
    opened = Ensemble(toy_bundle, precision=Precision.FP32)
    np.testing.assert_allclose(members, opened.outputs(crops)[0], atol=1e-6)
    np.testing.assert_allclose(features, opened.features(crops), atol=1e-5)


def test_a_glance_is_the_first_members_first_view(toy_bundle, crops, tmp_path):
    seen_twice = seeing(toy_bundle, tmp_path / "twice", 1.0, 1.2)
    glance = seen_twice.at_a_glance(crops)
    plain = seeing(toy_bundle, tmp_path / "once", 1.0).run(crops)
    np.testing.assert_allclose(glance.members, plain.members[:1], atol=HALF)
    assert np.isnan(glance.distance).all()


def test_every_second_view_shows_a_slide_in_its_own_colours(toy_bundle, crops):
    networks = [load_member(toy_bundle, each, torch.device("cpu")) for each in toy_bundle.spec.members]
    home, slide = (
        StainColours(glass=(0.0, 0.1, 0.2), red_cell=(0.2, 0.3, 0.2), nucleus=(1.2, blue, 0.5))
        for blue in (1.8, 1.2)
    )
    facts = replace(NetworkFacts.of(toy_bundle.spec), stain=home, views=(1.0, 1.0, 1.2))
    ensemble = Ensemble.from_networks(networks, facts)
    views = {each: ensemble.matching(each).views(crops, slide) for each in StainMatching}
    none, half, every = (views[each].split(len(crops)) for each in StainMatching)
    torch.testing.assert_close(half, (every[0], none[1], every[2]))
    assert not any(torch.allclose(*pair, atol=0.01) for pair in zip(none, every, strict=True))
    torch.testing.assert_close(ensemble.views(crops), views[StainMatching.NONE])


def test_a_network_that_gives_no_number_is_refused(toy_bundle, crops):
    networks = [load_member(toy_bundle, each, torch.device("cpu")) for each in toy_bundle.spec.members]
    for network in networks:
        with torch.no_grad():
            next(network.parameters()).fill_(float("nan"))
    ensemble = Ensemble.from_networks(networks, NetworkFacts.of(toy_bundle.spec))
    with pytest.raises(BundleError, match=r"no number \(NaN\).*precision fp32"):
        ensemble.run(crops)
