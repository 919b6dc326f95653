"""Everything that is measured of predictions whose truth is known, in one record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from napari_deepheme.stats.agreement import RaterAgreement
from napari_deepheme.stats.metrics import Floats, Indices, Reliability
from napari_deepheme.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPredictions:
    """Predictions of n cells whose class is known.

    Attributes
    ----------
    names : tuple of str
        The images.
    taxonomy : Taxonomy
        k classes.
    truth : ndarray of intp, shape (n,)
        Indices into the taxonomy.
    mean : ndarray of float64, shape (n, k)
        The ensemble's probabilities, which are what is judged.
    members : ndarray of float64, shape (m, n, k)
        Each member's; m is 0 where only the ensemble's are known.
    """

    names: tuple[str, ...]
    taxonomy: Taxonomy
    truth: Indices
    mean: Floats
    members: Floats


@dataclass(frozen=True, slots=True)
class ConformalScores:
    """Share of cells whose set holds the truth, against the promised one, and classes per set.

    ``threshold`` is the model's; nan where random halves of the cells set it for each other.
    """

    target: float
    threshold: float
    coverage: float
    mean_size: float


@dataclass(frozen=True, slots=True)
class ForeignScores:
    """How well doubt tells n foreign images from the set's (AUROC).

    Mutual information needs members, the distance a model that knows the features of its cells.
    """

    n: int
    entropy: float
    mutual_information: float
    confidence: float
    distance: float = math.nan

    @property
    def best_known(self) -> float:
        """By distance, which tells best, or by entropy where it is not known."""
        return self.entropy if math.isnan(self.distance) else self.distance


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What was measured; k classes in the order of the taxonomy.

    Attributes
    ----------
    source, model : str
        What was judged, for a person.
    taxonomy : Taxonomy
    counts : ndarray, shape (k, k)
        Cells of each true class (rows) called each class (columns).
    scores : mapping of str to float
        Figures of the whole, by their key in the JSON document; means over classes are over those that occur.
    intervals : mapping of str to (float, float)
        95 % bootstrap intervals of the scores that have one.
    per_class : mapping of str to ndarray, shape (k,)
        Figures of each class, nan where there is nothing to measure.
    per_class_intervals : mapping of str to ndarray, shape (2, k)
    lineages : mapping of str to mapping of str to float
    members : tuple of mapping of str to float
        The scores of each member alone.
    reliability : Reliability
    risk_coverage : tuple of ndarray
        Coverage and error among the cells kept.
    selective_accuracy : mapping of float to float
        Accuracy among that share of the cells, the most confident.
    conformal : ConformalScores or None
        None with too few cells and no threshold.
    raters : RaterAgreement or None
    foreign : ForeignScores or None
    warnings : tuple of str
        What a person should know before believing the numbers.
    """

    source: str
    model: str
    taxonomy: Taxonomy
    counts: Floats
    scores: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    per_class: Mapping[str, Floats]
    per_class_intervals: Mapping[str, Floats]
    lineages: Mapping[str, Mapping[str, float]]
    members: tuple[Mapping[str, float], ...]
    reliability: Reliability
    risk_coverage: tuple[Floats, Floats]
    selective_accuracy: Mapping[float, float]
    conformal: ConformalScores | None
    raters: RaterAgreement | None = None
    foreign: ForeignScores | None = None
    warnings: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Cells judged."""
        return int(self.counts.sum())

    @property
    def support(self) -> Floats:
        """Cells of each true class."""
        support: Floats = self.counts.sum(axis=1)
        return support

    def to_json(self) -> dict[str, object]:
        """Document of plain values; what could not be measured is None."""
        coverage, risk = (_hundred(curve) for curve in self.risk_coverage)
        document = {
            "source": self.source,
            "model": self.model,
            "n": self.n,
            **self.scores,
            **{f"{name}_interval": list(interval) for name, interval in self.intervals.items()},
            "members": [dict(member) for member in self.members],
            "per_class": self._classes(),
            "lineages": {name: dict(scores) for name, scores in self.lineages.items()},
            "confusion": {"labels": list(self.taxonomy.codes), "counts": self.counts.astype(int).tolist()},
            "reliability": {k: v.tolist() for k, v in asdict(self.reliability).items()},
            "risk_coverage": {
                "coverage": coverage,
                "risk": risk,
                "area": float(self.risk_coverage[1].mean()),
            },
            "selective_accuracy": {f"{share:g}": value for share, value in self.selective_accuracy.items()},
            "conformal": None if self.conformal is None else asdict(self.conformal),
            "raters": None if self.raters is None else asdict(self.raters),
            "ood_auroc": None if self.foreign is None else self.foreign.best_known,
            "ood": None if self.foreign is None else asdict(self.foreign),
            "warnings": list(self.warnings),
        }
        return {key: _plain(value) for key, value in document.items()}

    def _classes(self) -> dict[str, dict[str, object]]:
        return {
            code: {
                "name": self.taxonomy[code].name,
                "n": int(self.support[i]),
                **{name: float(values[i]) for name, values in self.per_class.items()},
                **{f"{name}_interval": v[:, i].tolist() for name, v in self.per_class_intervals.items()},
            }
            for i, code in enumerate(self.taxonomy.codes)
        }


def _hundred(curve: Floats) -> list[float]:
    """At most a hundred points of a curve, its last among them."""
    chosen = np.linspace(0, len(curve) - 1, min(len(curve), 100)).round().astype(int)
    points: list[float] = curve[chosen].tolist()
    return points


def _plain(value: object) -> object:
    """Without nan, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
