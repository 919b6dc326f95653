import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_deepheme.stats import metrics
from napari_deepheme.stats.evaluation import Evaluation, LabelledPredictions
from napari_deepheme.stats.scoring import evaluate_predictions
from napari_deepheme.taxonomy import DEEPHEME_23, PBC_11, CellClass, Lineage, Taxonomy

THREE = Taxonomy("three", tuple(DEEPHEME_23[code] for code in ("M2", "M3", "M4")))


def predictions(
    mean: np.ndarray, truth: np.ndarray, taxonomy: Taxonomy, members: np.ndarray | None = None
) -> LabelledPredictions:
    names = tuple(f"{i}.png" for i in range(len(truth)))
    none = np.zeros((0, *mean.shape))
    return LabelledPredictions(names, taxonomy, truth, mean, none if members is None else members)


def noisy(n: int, taxonomy: Taxonomy, seed: int = 0, signal: float = 2.0) -> LabelledPredictions:
    """Members that see the truth through noise, and their mean."""
    rng = np.random.default_rng(seed)
    k = len(taxonomy.classes)
    truth = rng.integers(0, k, n)
    logits = rng.normal(size=(3, n, k)) + signal * np.eye(k)[truth]
    members = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return predictions(members.mean(axis=0), truth, taxonomy, members)


def called(codes: str, taxonomy: Taxonomy = DEEPHEME_23) -> np.ndarray:
    return np.array([taxonomy.codes.index(code) for code in codes.split()])


def certain(truth: str, calls: str, taxonomy: Taxonomy = DEEPHEME_23) -> Evaluation:
    mean = np.eye(len(taxonomy.classes))[called(calls, taxonomy)]
    return evaluate_predictions(predictions(mean, called(truth, taxonomy), taxonomy), "set", replicates=10)


def test_precision_recall_and_f1_of_a_confusion_worked_by_hand():
    counts = np.array([[8.0, 2.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(metrics.recall(counts), [0.8, 0.75, np.nan])
    np.testing.assert_allclose(metrics.precision(counts), [8 / 9, 0.6, np.nan])
    np.testing.assert_allclose(metrics.f1(counts), [16 / 19, 6 / 9, np.nan])
    assert metrics.macro(metrics.recall(counts), counts.sum(axis=1)) == pytest.approx(0.775)
    assert metrics.weighted(metrics.recall(counts), counts.sum(axis=1)) == pytest.approx(11 / 14)


def test_a_class_that_is_never_called_pulls_the_mean_precision_down_rather_than_leaving_it():
    counts = np.array([[4.0, 0.0], [4.0, 0.0]])
    assert metrics.macro(metrics.precision(counts), counts.sum(axis=1)) == 0.25


def test_one_step_along_the_line_is_forgiven_two_are_not():
    scores = certain("M2 M2 M2 M5 ER1 E1 L2", "M2 M3 M4 M6 ER2 E4 MO2").scores
    assert scores["accuracy"] == pytest.approx(1 / 7)
    assert scores["tolerant_accuracy"] == pytest.approx(5 / 7)
    assert scores["lineage_accuracy"] == pytest.approx(6 / 7)


def test_tolerant_figures_of_a_class_count_its_neighbours_on_both_sides():
    evaluation = certain("M3 M3 M3 M4 M1", "M3 M4 M1 M3 M3")
    myelocyte = DEEPHEME_23.codes.index("M3")
    assert evaluation.per_class["recall"][myelocyte] == pytest.approx(1 / 3)
    assert evaluation.per_class["tolerant_recall"][myelocyte] == pytest.approx(2 / 3)
    assert evaluation.per_class["tolerant_precision"][myelocyte] == pytest.approx(2 / 3)


def test_what_belongs_to_no_lineage_is_not_of_one_lineage():
    scores = certain("PL2 U1 PL2", "U1 PL2 PL2").scores
    assert scores["lineage_accuracy"] == pytest.approx(1 / 3)


def test_each_lineage_tells_how_its_own_cells_fare():
    lineages = certain("M2 M3 L2 L2", "M3 L2 L2 L2").lineages
    assert lineages["granulocytic"]["n"] == 2
    assert lineages["granulocytic"]["recall"] == 0.5
    assert lineages["granulocytic"]["accuracy"] == 0
    assert lineages["granulocytic"]["tolerant_accuracy"] == 0.5
    assert lineages["lymphoid"]["precision"] == pytest.approx(2 / 3)


def test_top_two_looks_at_the_second_class_and_no_further():
    mean = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    np.testing.assert_array_equal(metrics.among_top(mean, np.arange(3), 2), [True, True, False])


def test_losses_are_the_textbook_ones():
    mean, truth = np.array([[0.7, 0.2, 0.1]]), np.array([1])
    np.testing.assert_allclose(metrics.log_losses(mean, truth), -np.log(0.2))
    np.testing.assert_allclose(metrics.brier_scores(mean, truth), 0.49 + 0.64 + 0.01)
    assert np.isfinite(metrics.log_losses(np.array([[1.0, 0.0, 0.0]]), truth)).all()


def test_area_under_the_curve_counts_ties_half():
    scores = np.array([[0.1], [0.4], [0.4], [0.8]])
    groups, positive = metrics.tie_groups(scores)[:, 0], np.array([False, False, True, True])
    assert metrics.area_under_curve(groups, positive, np.ones(4)) == pytest.approx(3.5 / 4)
    assert np.isnan(metrics.area_under_curve(groups, np.zeros(4, bool), np.ones(4)))


@given(arrays(np.int64, 12, elements=st.integers(0, 4)), arrays(np.int64, 12, elements=st.integers(0, 3)))
def test_counting_a_cell_twice_is_having_it_twice(levels: np.ndarray, weights: np.ndarray):
    positive = np.arange(12) % 3 == 0
    groups = metrics.tie_groups(levels[:, None].astype(float))[:, 0]
    once = metrics.area_under_curve(groups, positive, weights.astype(float))
    repeated = np.repeat(np.arange(12), weights)
    twice = metrics.area_under_curve(groups[repeated], positive[repeated], np.ones(len(repeated)))
    np.testing.assert_allclose(once, twice)


def test_foreign_images_that_are_more_doubtful_are_told_apart():
    assert metrics.auroc(np.array([0.1, 0.2]), np.array([0.3, 0.9])) == 1.0
    assert metrics.auroc(np.array([0.1, 0.5]), np.array([0.1, 0.5])) == 0.5


def test_keeping_the_confident_cells_trades_share_for_accuracy():
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    coverage, risk = metrics.risk_coverage(confidence, np.array([True, True, False, False]))
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 2])


def test_conformal_sets_are_never_empty_and_cover_what_they_promise():
    flat = np.full((1, 4), 0.25)
    assert metrics.conformal_sets(flat, 0.9).sum() == 1
    data = noisy(3000, THREE, signal=0.7)
    coverage, size = metrics.conformal_by_halves(data.mean, data.truth, 0.9)
    assert coverage == pytest.approx(0.9, abs=0.015)
    assert 1 <= size < 3


def test_the_bootstrap_interval_of_a_share_is_the_binomial_one():
    right = (np.arange(500) < 100).astype(float)
    resampled = metrics.bootstrap(lambda w: np.array(right @ w / w.sum()), 500, 2000)
    low, high = metrics.percentile_interval(resampled)
    # Wilson's interval of 20 % of 500
    assert (low, high) == (pytest.approx(0.167, abs=0.01), pytest.approx(0.237, abs=0.01))


def test_a_class_without_a_cell_has_no_figures_and_does_not_drag_the_means():
    data = noisy(300, PBC_11)
    present = data.truth != PBC_11.codes.index("U1")
    cut = predictions(data.mean[present], data.truth[present], PBC_11)
    document = evaluate_predictions(cut, "set", replicates=20).to_json()
    artefact = document["per_class"]["U1"]
    assert (artefact["n"], artefact["recall"], artefact["f1"], artefact["auc"]) == (0, None, None, None)
    others = [row["f1"] for code, row in document["per_class"].items() if code != "U1"]
    assert document["macro_f1"] == pytest.approx(np.mean(others))


def test_the_document_holds_the_keys_that_others_rely_on():
    document = evaluate_predictions(noisy(200, PBC_11), "set", replicates=20).to_json()
    whole = "n accuracy tolerant_accuracy lineage_accuracy top2 balanced_accuracy macro_f1 macro_auc"
    assert {*whole.split(), "nll", "brier", "ece"} <= set(document)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["confusion"]["labels"] == list(PBC_11.codes)
    assert np.sum(document["confusion"]["counts"]) == document["n"] == 200
    assert {"n", "precision", "recall", "f1", "auc"} <= set(document["per_class"]["M2"])
    assert len(document["members"]) == 3
    low, high = document["accuracy_interval"]
    assert low <= document["accuracy"] <= high


def test_members_alone_stand_beside_the_ensemble_and_are_worse_when_their_noise_is_their_own():
    evaluation = evaluate_predictions(noisy(2000, PBC_11), "set", replicates=10)
    assert all(member["accuracy"] < evaluation.scores["accuracy"] for member in evaluation.members)
    assert all(member["nll"] > evaluation.scores["nll"] for member in evaluation.members)


def test_strict_is_within_tolerant_is_within_lineage_for_any_predictions():
    for seed in range(5):
        scores = evaluate_predictions(noisy(150, DEEPHEME_23, seed, 1.0), "set", replicates=5).scores
        assert scores["accuracy"] <= scores["tolerant_accuracy"] <= scores["lineage_accuracy"]
        assert scores["accuracy"] <= scores["top2"]


def test_a_model_with_a_threshold_is_held_to_its_own_promise():
    data = noisy(500, THREE)
    conformal = evaluate_predictions(data, "set", threshold=(0.0, 0.9), replicates=5).conformal
    assert (conformal.target, conformal.coverage, conformal.mean_size) == (0.9, 1.0, 3.0)


def test_a_set_of_a_single_class_is_measured_without_an_auc():
    data = predictions(np.array([[0.8, 0.1, 0.1]] * 4), np.zeros(4, int), THREE)
    document = evaluate_predictions(data, "set", replicates=10).to_json()
    assert document["accuracy"] == 1.0
    assert document["macro_auc"] is None
    assert document["conformal"] is None


def test_classes_of_unknown_lineage_are_only_right_as_themselves():
    own = Taxonomy("own", tuple(CellClass(c, c, Lineage.OTHER, "#8c8c8c") for c in ("X", "Y")))
    assert (
        metrics.same_lineage(own).tolist() == metrics.one_step(own).tolist() == np.eye(2, dtype=bool).tolist()
    )
