"""Trained members to a bundle: calibrated, measured, described and tested."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from napari_deepheme.cells import Predictions
from napari_deepheme.classify.bundle import (
    Bundle,
    BundleSpec,
    Conformal,
    OutOfDistribution,
    Review,
    load_bundle,
)
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.making import save_tested
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.classify.stain import StainColours, stain_colours
from napari_deepheme.models.bundle import (
    CARD_FILE,
    Member,
    SelfTest,
    Training,
    named_members,
    save_bundle,
    test_image,
)
from napari_deepheme.models.device import Precision
from napari_deepheme.stats import calibration
from napari_deepheme.stats.evaluation import Evaluation, LabelledPredictions
from napari_deepheme.stats.scoring import evaluate_predictions
from napari_deepheme.stats.uncertainty import entropy
from napari_deepheme.taxonomy import Taxonomy
from napari_deepheme.train.patches import Patches
from napari_deepheme.train.recipe import Recipe
from napari_deepheme.train.shares import expecting, met, shown
from napari_deepheme.train.snapshot import Step, Trained, Weights
from napari_deepheme.train.work import RECORD_FILE, take_place

_STAIN_CELLS, _WITHIN, _SAME_CALLS = 256, 0.99, 0.99
MOST_LEARNED = 4000
"""Cells learned from whose features are looked at; more would not change what is typical."""
TRACE_FILE, NOVELTY_FILE = "learning-rate.csv", "novelty.safetensors"

_CARD_FIGURES = {
    "accuracy": "accuracy",
    "top2": "top-2 accuracy",
    "tolerant_accuracy": "accuracy, one step along a maturation line allowed",
    "lineage_accuracy": "accuracy by lineage",
    "macro_f1": "mean F1 of the classes",
    "nll": "negative log-likelihood",
    "ece": "expected calibration error",
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from, for its description and card.

    Attributes
    ----------
    name, version : str
    data, licence, split, start : str
        The cells it learned from, the licence of the weights, how the cells were divided, and the weights
        that training began with.
    counts : mapping of str to int
        Cells trained on, by class.
    notes : tuple of str
        What a person should know before believing the figures, a sentence each.
    record : str
        TOML of everything that made it.
    """

    name: str
    version: str
    data: str
    licence: str
    split: str
    start: str
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    record: str


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Cells that were learned from, and cells that were not: some to calibrate with, others to measure by."""

    learned: Patches
    calibration: Patches
    test: Patches


def make_ensemble(
    trained: Trained,
    recipe: Recipe,
    taxonomy: Taxonomy,
    parts: Parts,
    provenance: Provenance,
    folder: Path,
) -> Bundle:
    """Calibrate and measure trained members, and write them as a bundle.

    Parameters
    ----------
    trained : Trained
    recipe : Recipe
    taxonomy : Taxonomy
    parts : Parts
    provenance : Provenance
    folder : Path
        Replaced when the bundle is whole.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    learned = shown(recipe, taxonomy, provenance.counts)
    mixture = met(learned, recipe, taxonomy)
    contents, members = named_members(
        [_half(expecting(load_file(file), recipe, learned, mixture)) for file in trained.members]
    )
    image, self_test = test_image(recipe.input_px, len(taxonomy.classes))
    contents |= image | {RECORD_FILE: provenance.record.encode(), TRACE_FILE: _csv(trained.trace)}
    known = {"members": members, "self_test": self_test, "class_prior": tuple(mixture.tolist())}
    known |= {"stain": _stain(parts.calibration, recipe)}
    spec = _uncalibrated(recipe, taxonomy, provenance).model_copy(update=known)
    save_bundle(partial, spec, contents)
    ensemble = Ensemble(load_bundle(partial), checked=False)
    crops = parts.calibration.crops(recipe.input_px)
    on_calibration = ensemble.predict(crops)
    spec = _calibrated(spec, on_calibration, parts.calibration.labels)
    rough = Ensemble(load_bundle(partial), precision=Precision.BF16, checked=False).predict(crops)
    same = rough.mean.argmax(axis=1) == on_calibration.mean.argmax(axis=1)
    spec = spec.model_copy(update={"bf16": bool(same.mean() >= _SAME_CALLS)})
    contents[NOVELTY_FILE], novelty = _novelty(ensemble, parts, taxonomy)
    spec = spec.model_copy(update={"ood": novelty})
    save_bundle(partial, spec, contents)
    finished = Ensemble(load_bundle(partial), precision=Precision.FP32, checked=False)
    evaluation = _measured(spec, finished.predict(parts.test.crops(recipe.input_px)), parts.test.labels)
    training = spec.training.model_copy(update={"metrics": _metrics(evaluation)})
    spec = spec.model_copy(update={"training": training})
    contents[CARD_FILE] = _card(spec, evaluation, provenance, recipe).encode()
    save_tested(partial, spec, contents)
    take_place(partial, folder)
    return load_bundle(folder)


def _uncalibrated(recipe: Recipe, taxonomy: Taxonomy, provenance: Provenance) -> BundleSpec:
    """What is known before a member is; the placeholders are filled in one by one."""
    nothing = SelfTest(image="none", sha256="0" * 64, expected=())
    return BundleSpec(
        name=provenance.name,
        version=provenance.version,
        architecture=recipe.architecture,
        head=recipe.head,
        input_px=recipe.input_px,
        mpp=recipe.mpp,
        mean=recipe.mean,
        std=recipe.std,
        views=recipe.magnifications,
        taxonomy=taxonomy,
        members=(Member(file="none", sha256="0" * 64, cycle=0),),
        temperature=1.0,
        review=Review(threshold=0.0, risk=recipe.risk, confidence=recipe.confidence),
        conformal=Conformal(threshold=0.0, coverage=recipe.coverage),
        training=Training(
            data=provenance.data, licence=provenance.licence, split=provenance.split, metrics={}
        ),
        licence=provenance.licence,
        self_test=nothing,
    )


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    """The figures of the card, for programs."""
    metrics = {"cells": float(evaluation.n)} | {name: evaluation.scores[name] for name in _CARD_FIGURES}
    members = {f"accuracy of member {i}": m["accuracy"] for i, m in enumerate(evaluation.members)}
    return metrics | members


def some(index: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most :data:`MOST_LEARNED` of the cells learned from, evenly drawn."""
    chosen: NDArray[np.intp] = index[
        np.linspace(0, len(index) - 1, min(len(index), MOST_LEARNED)).astype(int)
    ]
    return chosen


def _stain(calibration: Patches, recipe: Recipe) -> StainColours | None:
    """The colours of home, from cells of every class."""
    home = np.flatnonzero(calibration.home)
    some = home[np.linspace(0, len(home) - 1, min(len(home), _STAIN_CELLS)).astype(int)]
    return stain_colours(calibration.take(some).crops(recipe.input_px))


def _half(weights: Weights) -> bytes:
    """As a bundle holds them: float16."""
    return save(
        {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    )


def _novelty(ensemble: Ensemble, parts: Parts, taxonomy: Taxonomy) -> tuple[bytes, OutOfDistribution]:
    """Features of the counted cells learned from, and how far those held back lie from them."""
    counted = np.array([cell_class.counted for cell_class in taxonomy.classes])
    px = ensemble.spec.input_px
    learned = parts.learned.take(np.flatnonzero(counted[parts.learned.labels]))
    held = parts.calibration.take(np.flatnonzero(counted[parts.calibration.labels]))
    reference = OodReference.of(ensemble.features(learned.crops(px)), learned.labels)
    content = reference.to_bytes()
    distance = reference.distance(ensemble.features(held.crops(px)))
    return content, OutOfDistribution(
        file=NOVELTY_FILE,
        sha256=sha256(content).hexdigest(),
        threshold=float(np.quantile(distance, _WITHIN)),
        quantile=_WITHIN,
    )


def _csv(trace: Sequence[Step]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("iteration", "cycle", "epoch", "learning_rate", "loss"))
    writer.writerows((i, s.cycle, s.epoch, repr(s.rate), f"{s.loss:.6g}") for i, s in enumerate(trace))
    return text.getvalue().encode()


def _calibrated(spec: BundleSpec, found: Predictions, truth: NDArray[np.int64]) -> BundleSpec:
    """Temperature after averaging, then the thresholds of the probabilities it gives."""
    temperature = calibration.fit_temperature(found.members, truth)
    mean = calibration.pool(found.members, temperature)
    review = calibration.review_threshold(
        entropy(mean.astype(np.float64)), mean.argmax(1) == truth, spec.review.risk, spec.review.confidence
    )
    enters = calibration.conformal_threshold(mean, truth, spec.conformal.coverage)
    return spec.model_copy(
        update={
            "temperature": temperature,
            "review": spec.review.model_copy(update={"threshold": review}),
            "conformal": spec.conformal.model_copy(update={"threshold": enters}),
        }
    )


def _measured(spec: BundleSpec, found: Predictions, truth: NDArray[np.int64]) -> Evaluation:
    data = LabelledPredictions(
        names=tuple(str(i) for i in range(len(truth))),
        taxonomy=spec.taxonomy,
        truth=truth.astype(np.intp),
        mean=found.mean.astype(np.float64),
        members=found.members.astype(np.float64),
    )
    return evaluate_predictions(
        data, "cells held back", threshold=(spec.conformal.threshold, spec.conformal.coverage)
    )


def _card(spec: BundleSpec, evaluation: Evaluation, provenance: Provenance, recipe: Recipe) -> str:
    template = (files(__package__) / "card.md.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    return environment.from_string(template).render(
        spec=spec, evaluation=evaluation, provenance=provenance, recipe=recipe, figures=_CARD_FIGURES
    )
