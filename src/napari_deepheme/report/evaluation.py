"""An evaluation as one HTML page that needs nothing else: figures and tables for a person."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from napari_deepheme.report.parts import data_url, drawn, page, shown, shown_interval, write_file
from napari_deepheme.stats.evaluation import Evaluation

_HEADLINE = {
    "accuracy": "Accuracy",
    "tolerant_accuracy": "Tolerant accuracy (one step along the maturation line)",
    "lineage_accuracy": "Right lineage",
    "top2": "Top-2 accuracy",
    "balanced_accuracy": "Balanced accuracy (macro recall)",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "macro_auc": "Macro AUC",
    "weighted_auc": "Weighted AUC",
    "nll": "Negative log-likelihood, nats",
    "brier": "Brier score (0 to 2)",
    "ece": "Expected calibration error",
}
_MEMBERS = ("accuracy", "tolerant_accuracy", "top2", "macro_f1", "macro_auc", "nll", "brier", "ece")
_CLASS_FIGURES = ("precision", "recall", "f1", "auc")


def headline(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Name, value and 95 % interval of the figures of the whole, for a person."""
    return [
        (title, shown(evaluation.scores[name]), shown_interval(evaluation.intervals.get(name)))
        for name, title in _HEADLINE.items()
    ]


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation as a self-contained HTML page.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    write_file(render(evaluation).encode("utf-8"), path)


def render(evaluation: Evaluation) -> str:
    """The page as text."""
    return page(
        "evaluation.html.j2",
        evaluation=evaluation,
        headline=headline(evaluation),
        classes=_class_rows(evaluation),
        members=[[member[name] for name in _MEMBERS] for member in evaluation.members],
        ensemble=[evaluation.scores[name] for name in _MEMBERS],
        member_columns=[_HEADLINE[name] for name in _MEMBERS],
        figures=_figures(evaluation),
    )


def _class_rows(evaluation: Evaluation) -> list[dict[str, object]]:
    return [
        {
            "code": c.code,
            "name": c.name,
            "colour": c.colour,
            "n": int(evaluation.support[i]),
            "figures": [
                (float(evaluation.per_class[f][i]), evaluation.per_class_intervals[f][:, i].tolist())
                for f in _CLASS_FIGURES
            ],
            "tolerant": float(evaluation.per_class["tolerant_f1"][i]),
        }
        for i, c in enumerate(evaluation.taxonomy.classes)
    ]


def _figures(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Captions and images as data URLs."""
    k = len(evaluation.taxonomy.classes)
    side = max(4.5, 0.36 * k + 1.5)
    drawings: list[tuple[str, tuple[float, float], Callable[[Axes, Evaluation], None]]] = [
        ("Confusion: share of each true class (rows) called each class, %", (side, side), _confusion),
        ("F1 of each class, 95 % interval", (max(5.0, 0.32 * k + 1.5), 3.6), _class_bars),
        ("Reliability: confidence against accuracy, area by number of cells", (4.2, 4.2), _reliability),
        ("Risk–coverage: error among the most confident share of the cells", (4.8, 4.2), _risk_coverage),
    ]
    return [
        (caption, data_url(drawn(size, partial(_draw, draw, evaluation)))) for caption, size, draw in drawings
    ]


def _draw(draw: Callable[[Axes, Evaluation], None], evaluation: Evaluation, axes: Axes) -> None:
    draw(axes, evaluation)


def _confusion(axes: Axes, evaluation: Evaluation) -> None:
    codes = evaluation.taxonomy.codes
    share = 100 * evaluation.counts / np.maximum(evaluation.support[:, None], 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.5:
            colour = "white" if value > 55 else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", size=7, color=colour)
    axes.set_xticks(range(len(codes)), codes, rotation=90, size=8)
    axes.set_yticks(range(len(codes)), codes, size=8)
    axes.set(xlabel="called", ylabel="truth")


def _class_bars(axes: Axes, evaluation: Evaluation) -> None:
    value = np.nan_to_num(evaluation.per_class["f1"])
    low, high = np.nan_to_num(evaluation.per_class_intervals["f1"])
    errors = np.maximum([value - low, high - value], 0)
    colours = [c.colour for c in evaluation.taxonomy.classes]
    place = np.arange(len(value))
    axes.bar(place, value, color=colours, edgecolor="#444444", linewidth=0.5)
    axes.errorbar(place, value, errors, fmt="none", ecolor="black", elinewidth=1, capsize=2)
    axes.set_xticks(place, evaluation.taxonomy.codes, rotation=90, size=8)
    axes.set(ylim=(0, 1.02), ylabel="F1")


def _reliability(axes: Axes, evaluation: Evaluation) -> None:
    bins = evaluation.reliability
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    axes.plot(bins.confidence, bins.accuracy, color="#2f66c4", linewidth=1)
    size = 15 + 250 * bins.count / bins.count.max()
    axes.scatter(bins.confidence, bins.accuracy, s=size, color="#2f66c4", alpha=0.6)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")


def _risk_coverage(axes: Axes, evaluation: Evaluation) -> None:
    coverage, risk = evaluation.risk_coverage
    axes.plot(coverage, risk, color="#2f66c4")
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="share of the cells kept", ylabel="error among them")
