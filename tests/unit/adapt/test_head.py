from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from napari_deepheme.adapt.choice import KEPT, Material, as_parent, better, outcomes, resamples, taught
from napari_deepheme.adapt.folds import dealt
from napari_deepheme.adapt.head import LastLayer, Lesson, SourceCells, applied, corrected, merged, widened
from napari_deepheme.adapt.look import Look
from napari_deepheme.classify.stain import StainMatching

D, K = 6, 3


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def layer(rng) -> LastLayer:
    return LastLayer(rng.normal(size=(K, D)), rng.normal(size=K))


def source(rng: np.random.Generator, directions: int = D) -> SourceCells:
    whitening = np.linalg.qr(rng.normal(size=(D, directions)))[0] * rng.uniform(0.5, 2, directions)
    return SourceCells.of(whitening, rng.normal(size=(K, directions)), rng.normal(size=(50, D)))


@pytest.mark.parametrize("directions", [D, 4])
def test_cells_drawn_from_what_the_parent_knew_have_unit_spread_and_survive_the_way_to_features(
    rng, directions
):
    cells = source(rng, directions)
    drawn = np.concatenate([cells.drawn(np.random.default_rng(i)) for i in range(200)])
    np.testing.assert_allclose(drawn.std(axis=0), 1, atol=0.12)
    np.testing.assert_allclose(cells.coordinates(cells.features(drawn)), drawn, atol=1e-9)


@pytest.mark.parametrize("n", [4, 40])
def test_a_merged_layer_gives_what_the_correction_gave(rng, layer, n):
    cells, features = source(rng), rng.normal(size=(n, D))
    wanted = np.eye(K)[rng.integers(K, size=n)]
    lesson = Lesson.of(cells.coordinates(features), layer.logits(features), wanted)
    correction = corrected(lesson, np.ones(n), 1.0)
    after = merged(layer, cells, lesson, correction)
    np.testing.assert_allclose(
        softmax(after.logits(features), axis=1), applied(lesson, correction), atol=1e-9
    )
    assert not np.allclose(after.weight, layer.weight)


def test_the_stronger_the_pull_the_nearer_to_the_parent(rng, layer):
    cells, features = source(rng), rng.normal(size=(30, D))
    wanted = np.eye(K)[rng.integers(K, size=30)]
    lesson = Lesson.of(cells.coordinates(features), layer.logits(features), wanted)
    sizes = [np.abs(corrected(lesson, np.ones(30), s).weight).max() for s in (1.0, 100.0, 1e6)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 1e-3


def test_a_cell_without_weight_teaches_nothing(rng, layer):
    cells, features = source(rng), rng.normal(size=(20, D))
    wanted = np.eye(K)[rng.integers(K, size=20)]
    weights = np.r_[np.ones(15), np.zeros(5)]
    other = wanted.copy()
    other[15:] = np.roll(wanted[15:], 1, axis=1)
    inputs, before = cells.coordinates(features), layer.logits(features)
    one, two = (corrected(Lesson.of(inputs, before, w), weights, 1.0) for w in (wanted, other))
    np.testing.assert_array_equal(one.weight, two.weight)


def test_a_new_class_begins_as_the_mean_of_what_its_cells_were_called(layer):
    wide = widened(layer, np.array([[0.5, 0.5, 0.0]]))
    np.testing.assert_allclose(wide.weight[3], layer.weight[:2].mean(axis=0))
    assert wide.bias.shape == (4,)


def material(rng: np.random.Generator, layer: LastLayer, shift: float, n: int = 60) -> Material:
    """Two members' features of cells that the parent calls by its own outputs; ``shift`` moves its bias."""
    features = rng.normal(size=(2, n, D)) * 3
    labels = sum(layer.logits(f) for f in features).argmax(axis=1)
    moved = LastLayer(layer.weight, layer.bias + np.array([shift, 0, 0]))
    return Material(
        Look(StainMatching.NONE),
        (moved, moved),
        (source(rng), source(rng)),
        features,
        labels,
        K,
        1.0,
        remember=False,
    )


def test_what_the_laboratory_teaches_is_taken_and_nothing_is_where_there_is_nothing_to_learn(rng, layer):
    for shift, gains in ((8.0, True), (0.0, False)):
        lab = material(rng, layer, shift)
        parent = as_parent(lab)
        found = list(outcomes(lab, dealt(lab.labels, np.arange(60), 5, 0), seed=0))
        best = better(parent, found, lab.labels)
        assert (best.strength != KEPT) == gains
        before, after = parent.called == lab.labels, best.called == lab.labels
        assert after.mean() >= before.mean()
    assert taught(lab, KEPT, 0) is lab.layers


def test_labels_without_meaning_keep_the_parent(rng, layer):
    lab = material(rng, layer, 0.0)
    random = replace(lab, labels=rng.integers(K, size=60))
    kept = as_parent(random)
    found = list(outcomes(random, dealt(random.labels, np.arange(60), 5, 0), seed=0))
    best = better(kept, found, random.labels)
    assert (best.called == random.labels).mean() >= (kept.called == random.labels).mean()


def test_cells_of_classes_without_labels_are_called_as_before(rng, layer):
    lab = material(rng, layer, 4.0, n=400)
    others = lab.labels == K - 1
    some = replace(lab, features=lab.features[:, ~others], labels=lab.labels[~others], remember=True)
    layers = taught(some, 10.0, 0)

    def shares(of: tuple[LastLayer, ...]) -> np.ndarray:
        return np.mean([softmax(o.logits(f), axis=1) for o, f in zip(of, lab.features, strict=True)], axis=0)

    before, after = shares(lab.layers), shares(layers)
    known = ~others
    assert (after.argmax(1) == lab.labels)[known].mean() > (before.argmax(1) == lab.labels)[known].mean()
    assert (after[others, -1]).mean() > before[others, -1].mean() - 0.02


def test_members_see_the_cells_differently_often(rng):
    often = resamples(3, 50, 0)
    np.testing.assert_allclose(often.sum(axis=1), 50)
    assert not np.allclose(often[0], often[1])
    assert (often > 0).all()


def test_parts_keep_groups_whole_and_spread_the_classes():
    labels = np.repeat([0, 1, 2], 10)
    by_image = dealt(labels, np.arange(30), 5, seed=3)
    assert all(np.bincount(by_image[labels == k], minlength=5).tolist() == [2] * 5 for k in range(3))
    groups = np.tile(np.arange(6), 5)
    by_patient = dealt(labels, groups, 3, seed=3)
    assert all(len(set(by_patient[groups == g])) == 1 for g in range(6))
    assert set(by_patient) == {0, 1, 2}
    assert set(dealt(labels, groups // 3, 5, seed=0)) == {0, 1}
