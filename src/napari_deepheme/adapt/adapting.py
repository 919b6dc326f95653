"""Labelled cells of a laboratory and a parent to a bundle of the laboratory's own, as one job.

torch is imported when the networks run, not with this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from napari_deepheme.adapt.choice import KEPT, Material, Outcome, chosen, outcomes, taught
from napari_deepheme.adapt.classes import Classes, resolved
from napari_deepheme.adapt.figures import Figure, figures
from napari_deepheme.adapt.folds import dealt
from napari_deepheme.adapt.head import LastLayer, SourceCells, widened
from napari_deepheme.adapt.labelled import Grouping, LabelledCells, without_repeats
from napari_deepheme.classify.bundle import Bundle, BundleSpec, Head
from napari_deepheme.classify.ood import OodReference
from napari_deepheme.errors import BundleError, OptionError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.models.device import Device
from napari_deepheme.stats.calibration import pool
from napari_deepheme.taxonomy import Taxonomy

_PARTS, _PARTS_OF_MANY, _MANY = 5, 3, 200  # with many cells each part of three still leaves enough to learn
FEW = 20
"""Labels of a class below which its figures say little."""


@dataclass(frozen=True, slots=True)
class AdaptOptions:
    """How to adapt a model, and where it goes.

    Attributes
    ----------
    out : Path
        Folder of the new bundle; its name is the model's.
    taxonomy : Taxonomy, optional
        Classes of the laboratory that no preset has.
    device : Device
    seed : int
        Of the parts of the cross-validation and of the members' resamples.
    """

    out: Path
    taxonomy: Taxonomy | None = None
    device: Device = Device.AUTO
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """A bundle of a laboratory's own.

    Attributes
    ----------
    bundle : Bundle
    improved : bool
        False where cross-validation showed no gain, so that the parent's last layer was kept.
    stain_matched : bool
        Whether the new model matches the stain of a slide.
    before, after : dict of str to Figure
        Of the parent as it is, and cross-validated of the new model.
    counts : dict of str to int
        Labels of each class.
    notices : tuple of str
        What a person should know before relying on it, a sentence each.
    """

    bundle: Bundle
    improved: bool
    stain_matched: bool
    before: dict[str, Figure]
    after: dict[str, Figure]
    counts: dict[str, int]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Everything about the new model but its files.

    Attributes
    ----------
    cells : LabelledCells
    classes : Classes
    groups : ndarray of intp, shape (n,)
        What was kept together in cross-validation.
    outcome : Outcome
        The choice, with what cross-validation says of the cells.
    layers : tuple of LastLayer
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
    outcome: Outcome
    layers: tuple[LastLayer, ...]
    reference: OodReference | None
    farthest: float
    before: dict[str, Figure]
    after: dict[str, Figure]
    notices: tuple[str, ...]


def adapt(bundle: Bundle, cells: LabelledCells, options: AdaptOptions) -> Job[Adapted]:
    """Give a model a new last layer that knows a laboratory's own labels.

    Networks stay as they are. How strongly the new layer holds on to the parent's, whether the stain is
    matched, and the calibration are set by cross-validation over patients, slides or fields where they are
    known. Where it shows no gain, the parent's last layer is kept and only the calibration is made anew.

    Parameters
    ----------
    bundle : Bundle
        The parent.
    cells : LabelledCells
        At the parent's µm/px.
    options : AdaptOptions

    Yields
    ------
    Progress

    Returns
    -------
    Adapted

    Raises
    ------
    OptionError, TaxonomyError
        Labels that contradict each other, are too few, or mean no class; a bundle is there already.
    BundleError
        A parent whose last layer is not a plain one on its features.
    """
    _check_parent(bundle.spec)
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise OptionError(f"{options.out} is there already; give another folder, or remove it.")
    cells = without_repeats(cells)
    classes = resolved(cells.labels, bundle.spec.taxonomy, options.taxonomy)
    yield Progress("Loading the model")
    from napari_deepheme.adapt.networks import Frozen  # noqa: PLC0415  torch takes seconds

    frozen = Frozen(bundle, options.device)
    views = yield from frozen.features(cells)
    learned = yield from learned_from(bundle, frozen.layers, views, cells, classes, options.seed)
    yield Progress("Writing the bundle")
    from napari_deepheme.adapt.writing import write_adapted  # noqa: PLC0415  torch takes seconds

    made = write_adapted(bundle, learned, options)
    return Adapted(
        made,
        learned.outcome.strength != KEPT,
        learned.outcome.matched,
        learned.before,
        learned.after,
        classes.counts,
        learned.notices,
    )


def _check_parent(spec: BundleSpec) -> None:
    if spec.head is not Head.SOFTMAX or spec.architecture.classifier is not None:
        raise BundleError(
            f"{spec.name} has a last layer that cannot be adapted (sigmoid scores, or hidden units after the "
            "features); train with --start from its weights instead."
        )


def learned_from(
    bundle: Bundle,
    layers: tuple[LastLayer, ...],
    views: dict[bool, NDArray[np.float32]],
    cells: LabelledCells,
    classes: Classes,
    seed: int,
) -> Job[Learned]:
    """Choose by cross-validation, then learn from all cells."""
    spec = bundle.spec
    reference = None if spec.ood is None else OodReference.from_bytes(bundle.read(spec.ood.file))
    groups, grouping_notices = grouped(cells, classes)
    number = _PARTS if len(cells) <= _MANY else _PARTS_OF_MANY
    parts = dealt(classes.labels, groups, number, seed)
    default = spec.matches_stain and True in views
    materials = {
        matched: _material(matched, layers, features, classes, reference, spec)
        for matched, features in views.items()
    }
    found: list[Outcome] = []
    for material in materials.values():
        for outcome in outcomes(material, parts, seed):
            yield Progress("Cross-validating", message=f"choice {len(found) + 1}")
            found.append(outcome)
    outcome = chosen(found, classes.labels, matched=default, new=bool(classes.new))
    parent = next(each for each in found if each.strength == KEPT and each.matched == default)
    yield Progress("Learning from all cells")
    features = views[outcome.matched]
    widened_reference, farthest = _reference(reference, features, classes.labels, parts, spec)
    notices = (*cells.notices, *grouping_notices, *_notices(classes, outcome, parent))
    return Learned(
        cells,
        classes,
        groups,
        outcome,
        taught(materials[outcome.matched], outcome.strength, seed),
        widened_reference,
        farthest,
        figures(pool(parent.members, spec.temperature), classes.labels, classes.taxonomy, groups),
        figures(pool(outcome.members, outcome.temperature), classes.labels, classes.taxonomy, groups),
        notices,
    )


def _material(
    matched: bool,
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
        matched=matched,
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


def _reference(
    reference: OodReference | None,
    features: NDArray[np.float32],
    labels: NDArray[np.intp],
    parts: NDArray[np.intp],
    spec: BundleSpec,
) -> tuple[OodReference | None, float]:
    """The parent's cells and the laboratory's, and how far cells of a part lie from all others."""
    if reference is None or spec.ood is None:
        return None, np.inf
    distance = np.empty(len(labels), np.float32)
    for part in np.unique(parts):
        out = parts == part
        distance[out] = reference.joined(features[:, ~out], labels[~out]).distance(features[:, out])
    farthest = max(spec.ood.threshold, float(np.quantile(distance, spec.ood.quantile)))
    return reference.joined(features, labels), farthest


def _without_labels(classes: Classes) -> list[str]:
    """Codes of the parent's counted classes that nobody labelled."""
    known = classes.taxonomy.classes[: classes.known]
    return [each.code for each in known if each.counted and not classes.counts[each.code]]


def _notices(classes: Classes, outcome: Outcome, parent: Outcome) -> Iterator[str]:
    few = [f"{code} ({n})" for code, n in classes.counts.items() if 0 < n < FEW]
    if few:
        yield f"Fewer than {FEW} labels: {', '.join(few)}; their figures say little."
    if outcome.strength == KEPT:
        same = outcome.matched == parent.matched
        yield (
            "Cross-validation showed no gain from a new last layer, so the parent's is kept"
            f"{'' if same else ', with the stain ' + ('matched' if outcome.matched else 'as it is')}; "
            "only the calibration is the laboratory's."
        )
    missing = _without_labels(classes)
    if missing:
        yield f"No labels of {', '.join(missing)}: they are as the parent knew them."
    if classes.new and not np.any(classes.labels < classes.known):
        yield (
            "Only new classes are labelled: other cells of this laboratory may be called so for its stain "
            "alone; label some of them, too."
        )
