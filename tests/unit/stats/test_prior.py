import json
import shutil

import numpy as np
import pytest

from napari_deepheme.classify.bundle import load_bundle
from napari_deepheme.errors import BundleError
from napari_deepheme.stats.prior import class_prior, with_prior
from napari_deepheme.taxonomy import PBC_11
from napari_deepheme.train.recipe import read_recipe
from napari_deepheme.train.shares import training_prior

EVEN = np.full(3, 1 / 3)


def cells(counts: tuple[int, ...], sharpness: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth, and what a calibrated model that learned from equally many of each says of them."""
    truth = np.repeat(np.arange(len(counts)), counts)
    seen = np.random.default_rng(seed).normal(size=(len(truth), len(counts)))
    seen[np.arange(len(truth)), truth] += sharpness
    likelihood = np.exp(sharpness * seen)  # of unit variance, at `sharpness` for its own class
    return truth, likelihood / likelihood.sum(axis=1, keepdims=True)


def test_the_prior_of_many_cells_is_found_and_makes_counts_right():
    truth, said = cells((9000, 900, 100))
    prior = class_prior(said, EVEN)
    np.testing.assert_allclose(prior, [0.9, 0.09, 0.01], atol=0.02)
    called = with_prior(said, prior, EVEN).argmax(axis=1)
    before, after = (np.bincount(call, minlength=3) for call in (said.argmax(axis=1), called))
    assert np.abs(after - (9000, 900, 100)).sum() < 0.4 * np.abs(before - (9000, 900, 100)).sum()
    assert (called == truth).mean() > (said.argmax(axis=1) == truth).mean() + 0.02


def test_few_cells_change_little_and_none_rule_a_class_out():
    _, said = cells((3, 0, 0))
    np.testing.assert_allclose(class_prior(said, EVEN), EVEN, atol=0.03)
    _, many = cells((900, 0, 0), sharpness=5)
    assert class_prior(many, EVEN)[1:].min() > 0.03
    np.testing.assert_allclose(class_prior(np.zeros((0, 3)), EVEN), EVEN)


def test_under_the_prior_training_nothing_changes():
    learned = np.array([0.5, 0.3, 0.2])
    _, said = cells((5, 5, 5))
    np.testing.assert_allclose(with_prior(said, learned, learned), said)
    changed = with_prior(said, np.array([0.8, 0.1, 0.1]), learned)
    np.testing.assert_allclose(changed.sum(axis=1), 1)
    assert (changed[:, 0] > said[:, 0]).all()


def test_a_prior_of_other_classes_is_refused(toy_bundle_folder, tmp_path):
    folder = tmp_path / "wrong"
    folder.mkdir()
    for file in toy_bundle_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    text = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(text.replace('"class_prior": null', '"class_prior": [0.5, 0.5]'))
    with pytest.raises(BundleError, match="the class prior has 2 classes, the taxonomy has 11"):
        load_bundle(folder)


def test_bundles_that_call_it_a_mixture_are_still_read(toy_bundle_folder, tmp_path):
    folder = tmp_path / "older"
    shutil.copytree(toy_bundle_folder, folder)
    said = json.loads((folder / "bundle.json").read_text())
    said["mixture"], said["magnifications"] = [1 / 11] * 11, said.pop("views")
    del said["class_prior"]
    (folder / "bundle.json").write_text(json.dumps(said))
    assert load_bundle(folder).spec.class_prior == (1 / 11,) * 11


def test_the_embedded_model_knows_the_prior_it_learned_from():
    spec = load_bundle("pbc-11").spec
    assert sum(spec.class_prior) == pytest.approx(1)
    assert len(set(spec.class_prior)) > 1


@pytest.mark.parametrize(("balance", "share"), [(0.0, 900 / 1900), (0.5, 30 / 130), (1.0, 1 / 11)])
def test_the_prior_learned_from_is_what_balancing_left_of_the_counts(balance, share):
    recipe = read_recipe("small").model_copy(update={"balance": balance})
    counts = dict.fromkeys(PBC_11.codes, 100) | {"M6": 900}
    shares = dict(zip(PBC_11.codes, training_prior(recipe, PBC_11, counts), strict=True))
    assert shares["M6"] == pytest.approx(share)
    assert sum(shares.values()) == pytest.approx(1)
