"""Trained members to a bundle: calibrated, measured, described and tested."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from napari_deepheme.classify.bundle import (
    Bundle,
    BundleSpec,
    Cascade,
    NetworkFacts,
    OutOfDistribution,
    load_bundle,
)
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.making import (
    WITHIN,
    Calibration,
    Promises,
    bears_bf16,
    calibrate,
    cells_entry,
    ood_entry,
    packed,
    pooled,
    tested,
    unpacked,
)
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.classify.stain import StainColours, stain_colours
from napari_deepheme.models.bundle import CARD_FILE, named_members, save_bundle
from napari_deepheme.models.spec import HashedFile, Member, SelfTest, Training
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.evaluation import Evaluation, LabelledPredictions
from napari_deepheme.stats.scoring import evaluate_predictions
from napari_deepheme.taxonomy import Taxonomy
from napari_deepheme.train.cascading import choose_cascade
from napari_deepheme.train.patches import Patches
from napari_deepheme.train.recipe import Recipe
from napari_deepheme.train.shares import expecting, slide_prior, training_prior
from napari_deepheme.train.snapshot import Step, Trained
from napari_deepheme.train.work import RECORD_FILE, take_place

_STAIN_CELLS = 256
MOST_LEARNED = 4000
"""Cells learned from whose features are looked at; more would not change what is typical."""
TRACE_FILE = "learning-rate.csv"

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
    learned = training_prior(recipe, taxonomy, provenance.counts)
    prior = slide_prior(learned, recipe, taxonomy)
    weights = [packed(expecting(load_file(file), recipe, learned, prior)) for file in trained.members]
    # as stored, so that the figures are those of the bundle
    networks = [unpacked(recipe.architecture, len(taxonomy.classes), content) for content in weights]
    stain = _stain(parts.calibration, recipe)
    colours = recipe.mean, recipe.std
    views = recipe.test_time_views
    facts = NetworkFacts(recipe.head, recipe.input_px, *colours, views, stain, recipe.match_stain)
    ensemble = Ensemble.from_networks(networks, facts)
    measured = _measured(ensemble, parts, taxonomy, recipe)
    evaluation = _evaluated(ensemble, parts.test, taxonomy, measured)
    contents, members = named_members(weights)
    image, self_test = tested(ensemble, measured.calibration.temperature)
    held = parts.calibration.crops(recipe.input_px)
    bf16 = bears_bf16(networks, facts, held, measured.calls)
    made = _Made(members, facts, tuple(prior.tolist()), measured, evaluation, self_test, bf16)
    spec = _described(made, recipe, taxonomy, provenance)
    contents |= image | measured.files
    contents |= {RECORD_FILE: provenance.record.encode(), TRACE_FILE: _csv(trained.trace)}
    contents[CARD_FILE] = _card(spec, evaluation, provenance, recipe).encode()
    partial = folder.with_name(f"{folder.name}.partial")
    save_bundle(partial, spec, contents)
    take_place(partial, folder)
    return load_bundle(folder)


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What is known of an ensemble once the cells held back have gone through it."""

    calls: NDArray[np.intp]
    calibration: Calibration
    reference: OodReference
    ood: OutOfDistribution
    cells: HashedFile
    cascade: Cascade | None
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """What the description of a bundle says beside its recipe and where it comes from."""

    members: tuple[Member, ...]
    facts: NetworkFacts
    prior: tuple[float, ...]
    measured: _Measured
    evaluation: Evaluation
    self_test: SelfTest
    bf16: bool


def _described(made: _Made, recipe: Recipe, taxonomy: Taxonomy, provenance: Provenance) -> BundleSpec:
    calibration = made.measured.calibration
    return BundleSpec(
        name=provenance.name,
        version=provenance.version,
        architecture=recipe.architecture,
        head=recipe.head,
        input_px=recipe.input_px,
        mpp=recipe.mpp,
        mean=recipe.mean,
        std=recipe.std,
        views=recipe.test_time_views,
        stain=made.facts.stain,
        match_stain=recipe.match_stain,
        bf16=made.bf16,
        class_prior=made.prior,
        taxonomy=taxonomy,
        members=made.members,
        temperature=calibration.temperature,
        review=calibration.review,
        conformal=calibration.conformal,
        ood=made.measured.ood,
        calibration_cells=made.measured.cells,
        cascade=made.measured.cascade,
        training=Training(
            data=provenance.data,
            licence=provenance.licence,
            split=provenance.split,
            metrics=_metrics(made.evaluation),
        ),
        licence=provenance.licence,
        self_test=made.self_test,
    )


def _measured(ensemble: Ensemble, parts: Parts, taxonomy: Taxonomy, recipe: Recipe) -> _Measured:
    """Calibration, and how far the counted cells held back lie from those learned from."""
    counted = np.array([cell_class.counted for cell_class in taxonomy.classes])
    learned = parts.learned.take(np.flatnonzero(counted[parts.learned.labels]))
    reference = OodReference.of(ensemble.features(learned.crops(recipe.input_px)), learned.labels)
    held = parts.calibration
    members, features = ensemble.outputs(held.crops(recipe.input_px))
    distance = reference.distance(features)
    files, ood = ood_entry(reference, float(np.quantile(distance[counted[held.labels]], WITHIN)))
    promises = Promises(recipe.risk, recipe.confidence, recipe.coverage)
    calibration = calibrate(members, held.labels, promises)
    probabilities = pooled(members, distance, calibration.temperature, ood.threshold)
    content, cells = cells_entry(CalibrationSet(probabilities, held.labels, distance))
    calls = members.mean(axis=0).argmax(axis=1)
    distances = np.stack([reference.member_distance(i, member) for i, member in enumerate(features)])
    cascade = choose_cascade(members, distances, ood.threshold)
    return _Measured(calls, calibration, reference, ood, cells, cascade, files | content)


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    """The figures of the card, for programs."""
    metrics = {"cells": float(evaluation.n)} | {name: evaluation.scores[name] for name in _CARD_FIGURES}
    members = {f"accuracy of member {i}": m["accuracy"] for i, m in enumerate(evaluation.members)}
    return metrics | members


def evenly_drawn(index: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most :data:`MOST_LEARNED` of the cells learned from, evenly drawn."""
    chosen: NDArray[np.intp] = index[
        np.linspace(0, len(index) - 1, min(len(index), MOST_LEARNED)).astype(int)
    ]
    return chosen


def _stain(calibration: Patches, recipe: Recipe) -> StainColours | None:
    """The colours of the source domain, from cells of every class."""
    own = np.flatnonzero(calibration.in_source)
    sample = own[np.linspace(0, len(own) - 1, min(len(own), _STAIN_CELLS)).astype(int)]
    return stain_colours(calibration.take(sample).crops(recipe.input_px))


def _csv(trace: Sequence[Step]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("iteration", "cycle", "epoch", "learning_rate", "loss"))
    writer.writerows((i, s.cycle, s.epoch, repr(s.rate), f"{s.loss:.6g}") for i, s in enumerate(trace))
    return text.getvalue().encode()


def _evaluated(ensemble: Ensemble, test: Patches, taxonomy: Taxonomy, measured: _Measured) -> Evaluation:
    members, features = ensemble.outputs(test.crops(ensemble.facts.input_px))
    distance = measured.reference.distance(features)
    mean = pooled(members, distance, measured.calibration.temperature, measured.ood.threshold)
    data = LabelledPredictions(
        names=tuple(str(i) for i in range(len(test))),
        taxonomy=taxonomy,
        truth=test.labels.astype(np.intp),
        mean=mean.astype(np.float64),
        members=members.astype(np.float64),
    )
    conformal = measured.calibration.conformal
    return evaluate_predictions(data, "cells held back", threshold=(conformal.threshold, conformal.coverage))


def _card(spec: BundleSpec, evaluation: Evaluation, provenance: Provenance, recipe: Recipe) -> str:
    template = (files(__package__) / "card.md.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    return environment.from_string(template).render(
        spec=spec, evaluation=evaluation, provenance=provenance, recipe=recipe, figures=_CARD_FIGURES
    )
