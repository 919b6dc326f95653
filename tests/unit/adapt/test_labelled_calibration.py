"""Calibration cells of adapted models: labelled cells, each as judged by what never saw it."""

import numpy as np
import pytest

from napari_deepheme.adapt import AdaptOptions, Grouping, LabelledCells, adapt
from napari_deepheme.adapt.teaching import left_out_distance
from napari_deepheme.classify.bundle import calibration_cells
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.jobs import drain
from napari_deepheme.models.device import Precision

COLOURS = {"LY": (70, 30, 120), "EO": (220, 90, 70), "PLM": (90, 140, 200)}
EACH = 40


def painted(colour: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """A round cell with texture of its own."""
    image = np.full((96, 96, 3), 235.0)
    y, x = np.mgrid[:96, :96] - 48
    image[np.hypot(y, x) < 22] = colour
    texture = rng.normal(0, 12, (16, 16, 3)).repeat(6, axis=0).repeat(6, axis=1)
    return (image + texture).clip(0, 255).astype(np.uint8)


def many(at_random: int = 0) -> LabelledCells:
    """Forty cells of each class; all plasma cells, new to the model, are of one patient."""
    rng = np.random.default_rng(5)
    labels = tuple(label for label in COLOURS for _ in range(EACH))
    crops = np.stack([painted(COLOURS[label], rng) for label in labels])
    names = tuple(f"{label} {i}" for i, label in enumerate(labels))
    patients = tuple("z" if label == "PLM" else "abcd"[i % 4] for i, label in enumerate(labels))
    smears, drawn = ("one",) * len(labels), frozenset(names[:at_random])
    return LabelledCells(crops, labels, names, patients, Grouping.PATIENT, smears, at_random=drawn)


@pytest.fixture(scope="module")
def adapted(toy_bundle, tmp_path_factory):
    return drain(adapt(toy_bundle, many(), AdaptOptions(tmp_path_factory.mktemp("out") / "mine")))


def test_no_cell_is_judged_by_a_head_that_saw_it_or_its_patient(adapted):
    """Cells known from one patient alone are unknown to every head that did not see that patient."""
    known, spec = calibration_cells(adapted.bundle), adapted.bundle.spec
    plasma = spec.taxonomy.codes.index("L4")
    new = known.truth == plasma
    assert (len(known), int(new.sum())) == (3 * EACH, EACH)
    assert (known.calls[new] != plasma).all()
    raw = Ensemble(adapted.bundle, precision=Precision.FP32).run(many().crops[new])
    assert (raw.members.mean(axis=0).argmax(axis=1) == plasma).mean() > 0.9


def test_no_distance_is_from_cells_of_the_same_part():
    """Cells that are alone where they are lie far out, though the bundle's reference holds them."""
    rng = np.random.default_rng(6)
    labels, parts = np.repeat([0, 1, 2], 20), np.repeat([0, 1, 2], 20)
    features = (rng.normal(size=(1, 60, 8)) + 9 * np.eye(8)[labels]).astype(np.float32)
    reference = OodReference.of(features[:, :40], labels[:40])
    left_out = left_out_distance(reference, features, labels, parts)
    seen = reference.joined(features, labels).distance(features)
    assert left_out[40:].min() > 2 * seen[40:].max()
    assert np.isnan(left_out_distance(None, features, labels, parts)).all()


def test_labels_that_somebody_chose_are_no_random_sample_and_the_card_says_so(adapted):
    assert not calibration_cells(adapted.bundle).at_random
    assert "Nothing says that these were drawn at random" in " ".join(adapted.notices)
    assert "Nothing says that these were drawn at random" in adapted.bundle.card
    assert "did not learn from it or its patient" in adapted.bundle.card


def test_where_enough_were_drawn_at_random_these_alone_are_kept(toy_bundle, tmp_path):
    made = drain(adapt(toy_bundle, many(at_random=3 * EACH - 10), AdaptOptions(tmp_path / "audited")))
    known = calibration_cells(made.bundle)
    assert known.at_random
    assert len(known) == 3 * EACH - 10
    assert "drawn at random" not in " ".join(made.notices)


def test_too_few_labels_leave_a_model_without_and_say_so(toy_bundle, tmp_path):
    some = np.flatnonzero(np.arange(3 * EACH) % 4 == 0)
    made = drain(adapt(toy_bundle, many(at_random=3 * EACH).take(some), AdaptOptions(tmp_path / "few")))
    assert made.bundle.spec.calibration_cells is None
    assert "too few to compare later slides with" in " ".join(made.notices)
