"""What a laboratory's labels teach: the choice, new last layers and what is known of them. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from napari_deepheme.adapt.calibration_cells import calibration_notices
from napari_deepheme.adapt.choice import KEPT, Material, Outcome, as_parent, better, lowest, outcomes, taught
from napari_deepheme.adapt.classes import Classes
from napari_deepheme.adapt.figures import Figure, figures
from napari_deepheme.adapt.folds import dealt
from napari_deepheme.adapt.head import LastLayer, SourceCells, widened
from napari_deepheme.adapt.labelled import Grouping, LabelledCells
from napari_deepheme.adapt.look import Look
from napari_deepheme.classify.bundle import Bundle, BundleSpec
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.classify.stain import StainMatching
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.stats.calibration import pool

_PARTS, _PARTS_OF_MANY, _MANY = 5, 3, 200  # with many cells each part of three still leaves enough to learn
FEW = 20
"""Labels of a class below which its figures say little."""


@dataclass(frozen=True, slots=True, eq=False)
class NewModel:
    """Everything about the new model but its files.

    Attributes
    ----------
    cells : LabelledCells
    classes : Classes
    groups : ndarray of intp, shape (n,)
        What was kept together in cross-validation.
    parent_look : Look
        How the parent would look at these cells.
    outcome : Outcome
        The choice, with what cross-validation says of the cells.
    layers : tuple of LastLayer
    distance : ndarray of float32, shape (n,)
        Of each cell, by a reference that knows no cell of its part; nan where the parent knows none.
    reference : OodReference or None
        Of the parent's cells and the laboratory's.
    farthest : float
        Distance within which cells like these lie.
    before, after : dict of str to Figure
    notices : tuple of str
    """

    cells: LabelledCells
    classes: Classes
    groups: NDArray[np.intp]
    parent_look: Look
    outcome: Outcome
    layers: tuple[LastLayer, ...]
    distance: NDArray[np.float32]
    reference: OodReference | None
    farthest: float
    before: dict[str, Figure]
    after: dict[str, Figure]
    notices: tuple[str, ...]


def learned_from(
    bundle: Bundle,
    layers: tuple[LastLayer, ...],
    views: dict[Look, NDArray[np.float32]],
    cells: LabelledCells,
    classes: Classes,
    seed: int,
) -> Job[NewModel]:
    """Choose by cross-validation, then learn from all cells."""
    spec = bundle.spec
    reference = None if spec.ood is None else OodReference.from_bytes(bundle.read(spec.ood.file))
    groups, grouping_notices = grouped(cells, classes)
    number = _PARTS if len(cells) <= _MANY else _PARTS_OF_MANY
    parts = dealt(classes.labels, groups, number, seed)
    materials = {
        look: _material(look, layers, features, classes, reference, spec) for look, features in views.items()
    }
    wanted = Look(spec.match_stain)
    default = wanted if wanted in views else Look(StainMatching.NONE)
    parent = as_parent(materials[default])
    outcome = yield from _chosen(materials, parent, parts, seed)
    yield Progress("Learning from all cells")
    features = views[outcome.look]
    distance = left_out_distance(reference, features, classes.labels, parts)

    def judged(each: Outcome, temperature: float) -> dict[str, Figure]:
        return figures(pool(each.members, temperature), classes.labels, classes.taxonomy, groups)

    return NewModel(
        cells=cells,
        classes=classes,
        groups=groups,
        parent_look=default,
        outcome=outcome,
        layers=taught(materials[outcome.look], outcome.strength, seed),
        distance=distance,
        reference=None if reference is None else reference.joined(features, classes.labels),
        farthest=_farthest(distance, spec),
        before=judged(parent, spec.temperature),
        after=judged(outcome, outcome.temperature),
        notices=(
            *cells.notices,
            *grouping_notices,
            *_notices(classes, outcome, parent),
            *calibration_notices(cells),
        ),
    )


def _chosen(
    materials: dict[Look, Material], parent: Outcome, parts: NDArray[np.intp], seed: int
) -> Job[Outcome]:
    """The look in which the parent's last layer does best, then a new layer if it is clearly better there.

    No look learned from a label, so nothing flatters any of them.
    """
    labels = materials[parent.look].labels
    known = lowest([parent, *(as_parent(material) for material in materials.values())], labels)
    material = materials[known.look]
    found: list[Outcome] = []
    for outcome in outcomes(material, parts, seed):
        yield Progress("Cross-validating", message=f"choice {len(found) + 1}")
        found.append(outcome)
    if labels.max() >= material.known:  # new classes: the parent cannot be kept
        return lowest(found, labels)
    return better(known, found, labels)


def _material(
    look: Look,
    layers: tuple[LastLayer, ...],
    features: NDArray[np.float32],
    classes: Classes,
    reference: OodReference | None,
    spec: BundleSpec,
) -> Material:
    exact = features.astype(np.float64)
    if reference is None:
        sources = tuple(SourceCells.like(each) for each in exact)
    else:
        members = zip(reference.whitening.astype(np.float64), reference.centres, exact, strict=True)
        sources = tuple(SourceCells.of(*member) for member in members)
    said = [softmax(layer.logits(each), axis=1) for layer, each in zip(layers, exact, strict=True)]
    codes = range(classes.known, len(classes.taxonomy.classes))
    shares = np.array([np.mean(said, axis=0)[classes.labels == k].mean(axis=0) for k in codes])
    wide = tuple(widened(layer, shares.reshape(-1, classes.known)) for layer in layers)
    return Material(
        look=look,
        layers=wide,
        sources=sources,
        features=exact,
        labels=classes.labels,
        known=classes.known,
        temperature=spec.temperature,
        remember=bool(classes.new or _without_labels(classes)),
    )


def grouped(cells: LabelledCells, classes: Classes) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """What is kept together in cross-validation, by number, and what to say of it."""
    numbers = np.unique(cells.groups, return_inverse=True)[1]
    if cells.grouping is Grouping.IMAGE:
        return np.arange(len(cells)), (
            "No patients, slides or fields are known: cross-validation is by image, so its figures are "
            "optimistic; give a CSV with a patient column.",
        )
    single = [
        classes.taxonomy.codes[k]
        for k in np.unique(classes.labels)
        if len(np.unique(numbers[classes.labels == k])) < 2
    ]
    if numbers.max() == 0:
        return np.arange(len(cells)), (
            f"All cells are of one {cells.grouping}: cross-validation is by image and flattered.",
        )
    if single:
        return numbers, (
            f"All cells of {', '.join(single)} are of one {cells.grouping}: what was learned of them could "
            "not be judged on another.",
        )
    return numbers, ()


def left_out_distance(
    reference: OodReference | None,
    features: NDArray[np.float32],
    labels: NDArray[np.intp],
    parts: NDArray[np.intp],
) -> NDArray[np.float32]:
    """How far the cells of each part lie from the parent's and from the laboratory's of all other parts.

    Parameters
    ----------
    reference : OodReference or None
        The parent's; without one all distances are nan.
    features : ndarray of float32, shape (m, n, d)
    labels, parts : ndarray of intp, shape (n,)

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    distance = np.full(len(labels), np.nan, np.float32)
    if reference is not None:
        for part in np.unique(parts):
            out = parts == part
            known = reference.joined(features[:, ~out], labels[~out])
            distance[out] = known.distance(features[:, out])
    return distance


def _farthest(distance: NDArray[np.float32], spec: BundleSpec) -> float:
    """Within which distance cells like these lie."""
    if spec.ood is None:
        return np.inf
    return max(spec.ood.threshold, float(np.quantile(distance, spec.ood.quantile)))


def _without_labels(classes: Classes) -> list[str]:
    """Codes of the parent's counted classes that nobody labelled."""
    known = classes.taxonomy.classes[: classes.known]
    return [each.code for each in known if each.counted and not classes.counts[each.code]]


def _notices(classes: Classes, outcome: Outcome, parent: Outcome) -> Iterator[str]:
    few = [f"{code} ({n})" for code, n in classes.counts.items() if 0 < n < FEW]
    if few:
        yield f"Fewer than {FEW} labels: {', '.join(few)}; their figures say little."
    if outcome.strength == KEPT:
        look, made = outcome.look, ["calibration"]
        if look.own_norm:
            made.insert(0, "statistics of batch normalisation")
        if look.stain is not parent.look.stain:
            made.insert(0, f"stain {look.stain.words}")
        yield (
            "Cross-validation showed no gain from a new last layer, so the parent's is kept; of the "
            f"laboratory's own: {', '.join(made)}."
        )
    missing = _without_labels(classes)
    if missing:
        yield f"No labels of {', '.join(missing)}: they are as the parent knew them."
    if classes.new and not np.any(classes.labels < classes.known):
        yield (
            "Only new classes are labelled: other cells of this laboratory may be called so for its stain "
            "alone; label some of them, too."
        )
