"""Predictions and truth to an :class:`Evaluation`, with bootstrap intervals."""

from __future__ import annotations

import numpy as np

from napari_deepheme.stats import metrics
from napari_deepheme.stats.agreement import Raters, judge
from napari_deepheme.stats.calibration import expected_calibration_error
from napari_deepheme.stats.evaluation import ConformalScores, Evaluation, LabelledPredictions
from napari_deepheme.stats.metrics import Floats, Indices
from napari_deepheme.taxonomy import Lineage, Taxonomy

KEPT = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
"""Shares of the cells, the most confident, whose accuracy is told."""
COVERAGE = 0.9
FEWEST_FOR_HALVES = 20


def evaluate_predictions(
    data: LabelledPredictions,
    source: str,
    model: str = "",
    *,
    threshold: tuple[float, float] | None = None,
    raters: Raters | None = None,
    replicates: int = 1000,
) -> Evaluation:
    """Measure everything that needs nothing but predictions and truth.

    Parameters
    ----------
    data : LabelledPredictions
        At least one cell.
    source, model : str
    threshold : tuple of float, optional
        Probability a class needs to enter a conformal set, and the coverage it promises.
    raters : Raters, optional
        Of the same cells.
    replicates : int
        Resamples of the cells for the 95 % intervals.
    """
    scorer = _Scorer(data.mean, data.truth, data.taxonomy)
    scores, per_class = scorer.figures(np.ones(scorer.n))
    low, high = metrics.percentile_interval(metrics.bootstrap(scorer.vector, scorer.n, replicates))
    names, k = list(scores), len(data.taxonomy.classes)
    bounds = np.stack([low[len(names) :], high[len(names) :]]).reshape(2, -1, k)
    confidence, correct = data.mean.max(axis=1), scorer.called == data.truth
    coverage, risk = metrics.risk_coverage(confidence, correct)
    return Evaluation(
        source=source,
        model=model,
        taxonomy=data.taxonomy,
        counts=metrics.confusion(data.truth, scorer.called, k),
        scores=_with_calibration(scores, data.mean, data.truth),
        intervals={name: (float(low[i]), float(high[i])) for i, name in enumerate(names)},
        per_class=per_class,
        per_class_intervals={name: bounds[:, i] for i, name in enumerate(per_class)},
        lineages=_lineages(scorer),
        members=tuple(_member(member, data) for member in data.members),
        reliability=metrics.reliability(data.mean, data.truth),
        risk_coverage=(coverage, risk),
        selective_accuracy={share: 1 - float(risk[max(1, round(share * scorer.n)) - 1]) for share in KEPT},
        conformal=_conformal(data, threshold),
        raters=None if raters is None else judge(raters, data.truth, scorer.called, data.taxonomy.codes),
    )


class _Scorer:
    """The figures of one set of probabilities, as a function of how often each cell counts."""

    def __init__(self, probabilities: Floats, truth: Indices, taxonomy: Taxonomy) -> None:
        self.n, self.truth, self.taxonomy = len(truth), truth, taxonomy
        self.called = probabilities.argmax(axis=1)
        self.tolerated, self.kin = metrics.one_step(taxonomy), metrics.same_lineage(taxonomy)
        self._groups = metrics.tie_groups(probabilities)
        self._each = {
            "top2": metrics.among_top(probabilities, truth, 2).astype(np.float64),
            "nll": metrics.log_losses(probabilities, truth),
            "brier": metrics.brier_scores(probabilities, truth),
        }

    def figures(self, weights: Floats) -> tuple[dict[str, float], dict[str, Floats]]:
        """Scores of the whole and of each class."""
        counts = metrics.confusion(self.truth, self.called, len(self.tolerated), weights)
        support = counts.sum(axis=1)
        forgiving = metrics.precision(counts, self.tolerated), metrics.recall(counts, self.tolerated)
        per_class = {
            "precision": metrics.precision(counts),
            "recall": metrics.recall(counts),
            "f1": metrics.f1(counts),
            "auc": self._aucs(weights),
            "tolerant_precision": forgiving[0],
            "tolerant_recall": forgiving[1],
            "tolerant_f1": metrics.harmonic(*forgiving),
        }
        scores = {
            "accuracy": metrics.share_accepted(counts, np.eye(len(counts), dtype=bool)),
            "tolerant_accuracy": metrics.share_accepted(counts, self.tolerated),
            "lineage_accuracy": metrics.share_accepted(counts, self.kin),
            "balanced_accuracy": metrics.macro(per_class["recall"], support),
        }
        for name in ("precision", "recall", "f1", "auc"):
            measured = np.where(np.isnan(per_class["auc"]), 0.0, support) if name == "auc" else support
            scores[f"macro_{name}"] = metrics.macro(per_class[name], measured)
            scores[f"weighted_{name}"] = metrics.weighted(per_class[name], measured)
        scores |= {name: float(values @ weights / weights.sum()) for name, values in self._each.items()}
        return scores, per_class

    def vector(self, weights: Floats) -> Floats:
        """All figures one after the other, for the bootstrap."""
        scores, per_class = self.figures(weights)
        return np.concatenate([list(scores.values()), *per_class.values()])

    def _aucs(self, weights: Floats) -> Floats:
        return np.array(
            [
                metrics.area_under_curve(column, self.truth == i, weights)
                for i, column in enumerate(self._groups.T)
            ]
        )


def _with_calibration(scores: dict[str, float], probabilities: Floats, truth: Indices) -> dict[str, float]:
    return scores | {"ece": expected_calibration_error(probabilities, truth)}


def _member(probabilities: Floats, data: LabelledPredictions) -> dict[str, float]:
    scores, _ = _Scorer(probabilities, data.truth, data.taxonomy).figures(np.ones(len(data.truth)))
    return _with_calibration(scores, probabilities, data.truth)


def _conformal(data: LabelledPredictions, threshold: tuple[float, float] | None) -> ConformalScores | None:
    if threshold is None:
        if len(data.truth) < FEWEST_FOR_HALVES:
            return None
        return ConformalScores(
            COVERAGE, np.nan, *metrics.conformal_by_halves(data.mean, data.truth, COVERAGE)
        )
    sets = metrics.conformal_sets(data.mean, threshold[0])
    covered = sets[np.arange(len(sets)), data.truth]
    return ConformalScores(threshold[1], threshold[0], float(covered.mean()), float(sets.sum(axis=1).mean()))


def _lineages(scorer: _Scorer) -> dict[str, dict[str, float]]:
    """Each lineage as if it were a class, and how its own cells fare."""
    counts = metrics.confusion(scorer.truth, scorer.called, len(scorer.tolerated))
    of = np.array([c.lineage.value for c in scorer.taxonomy.classes], dtype=object)
    result = {}
    for lineage in dict.fromkeys(of):
        mine = of == lineage
        n = counts[mine].sum()
        if lineage == Lineage.OTHER.value or n == 0:
            continue
        kept = counts[np.ix_(mine, mine)].sum()
        called = counts[:, mine].sum()
        result[str(lineage)] = {
            "n": int(n),
            "precision": float(kept / called) if called else np.nan,
            "recall": float(kept / n),
            "f1": float(2 * kept / (n + called)),
            "accuracy": float(counts.diagonal()[mine].sum() / n),
            "tolerant_accuracy": float((counts * scorer.tolerated)[mine].sum() / n),
        }
    return result
