import numpy as np
import pytest

from napari_deepheme.classify.ood import OodReference


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray]:
    """Two members, two classes, eight features of which the last two are one."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 3], 200)
    features = rng.normal(0, [1, 1, 1, 1, 1, 5, 0.1, 0.1], (2, 400, 8)) + 10 * (labels == 3)[:, None]
    features[..., 7] = features[..., 6]
    return features.astype(np.float32), labels


def test_cells_of_the_classes_learned_are_about_one_standard_deviation_away(cells):
    features, labels = cells
    distance = OodReference.of(features, labels).distance(features)
    assert distance.shape == (400,)
    assert np.median(distance) == pytest.approx(0.9, abs=0.15)


def test_a_cell_between_the_classes_is_far_from_both(cells):
    features, labels = cells
    reference = OodReference.of(features, labels)
    between = np.full((2, 1, 8), 5, np.float32)
    assert reference.distance(between)[0] > 2 * reference.distance(features).max()


def test_spread_is_measured_in_each_direction(cells):
    features, labels = cells
    reference = OodReference.of(features, labels)
    wide, narrow = np.zeros((2, 2, 1, 8), np.float32)
    wide[..., 5] = narrow[..., 0] = 5.0
    assert reference.distance(narrow)[0] > 2 * reference.distance(wide)[0]


def test_the_file_of_a_bundle_gives_the_same_distances(cells):
    features, labels = cells
    reference = OodReference.of(features, labels)
    again = OodReference.from_bytes(reference.to_bytes())
    np.testing.assert_array_equal(again.distance(features), reference.distance(features))


def test_wide_features_are_judged_in_the_directions_in_which_cells_vary():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 3], 400)
    spread = np.repeat([1.0, 1e-3], [200, 400])
    features = (rng.normal(0, spread, (1, 800, 600)) + 5 * (labels == 3)[:, None]).astype(np.float32)
    reference = OodReference.of(features, labels)
    assert reference.whitening.shape == (1, 600, 256)
    assert np.median(reference.distance(features)) == pytest.approx(0.9, abs=0.15)
    strange = features[:, :1].copy()
    strange[..., 7] += 20
    assert reference.distance(strange)[0] > 1.5 * reference.distance(features).max()
