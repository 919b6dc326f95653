"""Looks at a laboratory's cells: stain matched or not, statistics of batch normalisation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn

from napari_deepheme.adapt import AdaptOptions
from napari_deepheme.adapt.adapting import _adapted
from napari_deepheme.adapt.choice import KEPT
from napari_deepheme.adapt.classes import resolved
from napari_deepheme.adapt.labelled import Grouping, LabelledCells
from napari_deepheme.adapt.look import Look
from napari_deepheme.adapt.networks import Frozen
from napari_deepheme.adapt.normalisation import SHARE, normalises, take_statistics
from napari_deepheme.adapt.teaching import learned_from
from napari_deepheme.adapt.writing import write_adapted
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.stain import StainMatching
from napari_deepheme.jobs import drain
from napari_deepheme.models.device import Device, Precision

PLAIN, OWN = Look(StainMatching.NONE), Look(StainMatching.NONE, own_norm=True)


@pytest.fixture(scope="module")
def cells(toy_bundle) -> LabelledCells:
    """Five cells of each class of the toy bundle, darker and redder than any it knows."""
    rng = np.random.default_rng(0)
    codes = np.repeat(toy_bundle.spec.taxonomy.codes, 5)
    colours = rng.integers(30, 160, (len(toy_bundle.spec.taxonomy.codes), 3)).repeat(5, axis=0)
    crops = (colours[:, None, None] + rng.integers(0, 60, (len(codes), 96, 96, 3))) * (0.7, 0.4, 0.5)
    names = tuple(map(str, range(len(codes))))
    return LabelledCells(
        crops.astype(np.uint8), tuple(codes), names, names, Grouping.IMAGE, ("one",) * len(codes)
    )


@pytest.fixture(scope="module")
def frozen(toy_bundle) -> Frozen:
    return Frozen(toy_bundle, Device.CPU)


@pytest.fixture(scope="module")
def views(frozen, cells, toy_bundle):
    return drain(frozen.features(cells, resolved(cells.labels, toy_bundle.spec.taxonomy).labels))


def test_statistics_are_those_of_a_mixture_of_the_parents_cells_and_these():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    weights = network[0].weight.detach().clone()
    images = torch.randn(64, 3, 5, 5) * 3 + 1
    with torch.no_grad():
        values = network[0](images).transpose(0, 1).flatten(1)
    take_statistics(network, [images[:32], images[32:]])
    mean, variance = values.mean(dim=1), values.var(dim=1)
    torch.testing.assert_close(network[1].running_mean, SHARE * mean, rtol=0.02, atol=0.02)
    mixed = (1 - SHARE) + SHARE * variance + SHARE * (1 - SHARE) * mean**2
    torch.testing.assert_close(network[1].running_var, mixed, rtol=0.05, atol=0.02)
    torch.testing.assert_close(network[0].weight, weights)
    assert not network[1].training
    assert normalises(network)
    assert not normalises(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4)))


def test_only_the_statistics_change_and_the_features_are_of_them(frozen, cells, views):
    changed = {
        name
        for before, after in zip(*(map(load, frozen.weights(look)) for look in (PLAIN, OWN)), strict=True)
        for name in before
        if not torch.allclose(before[name].float(), after[name].float(), atol=1e-3)
    }
    assert changed
    assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in changed)
    assert not np.allclose(views[OWN], views[PLAIN], atol=1e-2)
    np.testing.assert_allclose(frozen.ensemble(OWN).features(cells.crops), views[OWN], atol=1e-4)
    np.testing.assert_allclose(frozen.ensemble(PLAIN).features(cells.crops), views[PLAIN], atol=1e-4)


def test_labels_of_few_classes_take_no_statistics(toy_bundle, cells):
    one = np.zeros(len(cells), np.intp)
    assert not any(look.own_norm for look in drain(Frozen(toy_bundle, Device.CPU).features(cells, one)))


def test_the_look_that_serves_best_is_taken_and_written(frozen, cells, views, toy_bundle, tmp_path):
    classes = resolved(cells.labels, toy_bundle.spec.taxonomy)
    toward = np.stack([layer.weight[classes.labels] for layer in frozen.layers]).astype(np.float32)
    better = {**views, OWN: views[OWN] + 20 * toward}
    learned = drain(learned_from(toy_bundle, frozen.layers, better, cells, classes, 0))
    assert learned.outcome.look == OWN
    made = write_adapted(toy_bundle, frozen.weights(OWN), learned, AdaptOptions(tmp_path / "mine"))
    features = Ensemble(made, precision=Precision.FP32).features(cells.crops)
    np.testing.assert_allclose(features, views[OWN], rtol=0.02, atol=0.02)
    assert "with statistics of the labelled cells" in made.card
    as_known = {**views, PLAIN: views[PLAIN] + 20 * toward}
    same = drain(learned_from(toy_bundle, frozen.layers, as_known, cells, classes, 0))
    assert same.outcome.look == PLAIN
    # the bundle says to match, but there is no stain to match: the parent, too, looks at it as it is
    assert toy_bundle.spec.match_stain is StainMatching.ALL
    kept = replace(same, outcome=replace(same.outcome, strength=KEPT))
    assert [_adapted(made, each).gains for each in (learned, kept)] == [True, False]
