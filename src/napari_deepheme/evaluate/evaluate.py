"""Evaluate a model on a labelled set, or anyone's predictions against the truth.

torch is imported when a model runs, not with this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from napari_deepheme.cells import RawOutputs
from napari_deepheme.classify.bundle import DEFAULT_BUNDLE, Bundle, BundleSpec, load_bundle
from napari_deepheme.classify.cascade import passes
from napari_deepheme.datasets.folders import LabelledImage, check_mpp, image_files, labelled_images
from napari_deepheme.datasets.labels import listed, shared_classes
from napari_deepheme.errors import OptionError, TableError
from napari_deepheme.evaluate.prediction import PredictedImages, predict_images
from napari_deepheme.evaluate.tables import read_probabilities, read_raters, read_truth, table_taxonomy
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.models.device import Device
from napari_deepheme.stats.agreement import UNLABELLED, Raters
from napari_deepheme.stats.assessment import ModelCalibration, assess, calibrated
from napari_deepheme.stats.evaluation import Evaluation, ForeignScores, LabelledPredictions
from napari_deepheme.stats.metrics import auroc
from napari_deepheme.stats.scoring import evaluate_predictions
from napari_deepheme.taxonomy import Taxonomy, codes_meant


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What to evaluate: a labelled folder with a model, or two tables.

    Attributes
    ----------
    dataset : Path, optional
        Folder of a folder per class.
    model : str
        Embedded model, or a bundle's folder or zip, to run on ``dataset``.
    mpp : float, optional
        µm per pixel of the images; needed with ``dataset``.
    predictions, truth : Path, optional
        Tables in place of ``dataset``: probabilities, and one-hot or class names; images in the first column.
    raters : Path, optional
        Table of experts' labels, one column each.
    ood : Path, optional
        Folder of images unlike the set's, at the same µm/px; needs ``dataset``.
    device : Device
    match_stain : bool
        Whether the images of a folder, as those of one slide, take the colours the model was trained on.
    cascade : bool
        Whether members are asked one after another, of a cell no more once its call is settled; there are no
        figures of single members then.
    skip_unknown : bool
        Whether images of classes the model has no class for are left out, rather than an error.
    replicates : int
        Bootstrap resamples for the 95 % intervals.
    """

    dataset: Path | None = None
    model: str = DEFAULT_BUNDLE
    mpp: float | None = None
    predictions: Path | None = None
    truth: Path | None = None
    raters: Path | None = None
    ood: Path | None = None
    device: Device = Device.AUTO
    match_stain: bool = True
    cascade: bool = False
    skip_unknown: bool = False
    replicates: int = 1000

    def __post_init__(self) -> None:
        tables = (self.predictions, self.truth)
        if (self.dataset is None) == (tables == (None, None)):
            raise OptionError("Give either a DATASET to run a model on, or --predictions and --truth.")
        if self.dataset is None and None in tables:
            raise OptionError("--predictions and --truth belong together; give both.")
        if self.dataset is None and self.ood is not None:
            raise OptionError("--ood needs a DATASET and a model to run on its images.")
        if self.dataset is None and self.cascade:
            raise OptionError("--cascade needs a DATASET and a model to run on its images.")
        if self.dataset is not None and self.mpp is None:
            raise OptionError("--mpp, the µm per pixel of the images, is not known; give it (0.25 at 40×).")
        if self.replicates < 2:
            raise OptionError(f"Replicates: {self.replicates} are too few for an interval; give 1000.")


def evaluate(options: EvaluateOptions) -> Job[Evaluation]:
    """Measure how good predictions are.

    Yields
    ------
    Progress

    Returns
    -------
    Evaluation

    Raises
    ------
    TableError
        A table cannot be read, a row does not sum to one, classes are missing, images do not match.
    TaxonomyError
        A label means no class of the predictions.
    OptionError, ScaleError, SlideError, BundleError
        An option, the images or the model cannot be used.
    """
    if options.predictions is not None and options.truth is not None:
        yield Progress("Reading tables")
        data = read_predictions(options.predictions, options.truth)
        raters = None if options.raters is None else _raters(options.raters, data.names, data.taxonomy)
        yield Progress("Measuring")
        names = options.truth.name, options.predictions.name
        return evaluate_predictions(data, *names, raters=raters, replicates=options.replicates)
    return (yield from _evaluate_folder(options, load_bundle(options.model)))


def read_predictions(predictions: Path, truth: Path) -> LabelledPredictions:
    """Read a table of probabilities and one of the truth, matched by the image name in the first column.

    Raises
    ------
    TableError
        A table cannot be read, a row does not sum to one, classes are missing, images do not match.
    TaxonomyError
        A label means no class of the predictions.
    """
    wide = read_probabilities(predictions)
    taxonomy = table_taxonomy(wide.columns)
    labels = _matched(wide.names, read_truth(truth, taxonomy), predictions, truth)
    classes = shared_classes(labels, taxonomy, str(truth))
    mean = classes.join(wide.values)
    no_members = np.zeros((0, *mean.shape))
    return LabelledPredictions(wide.names, classes.taxonomy, classes.truth(labels), mean, no_members)


def _evaluate_folder(options: EvaluateOptions, bundle: Bundle) -> Job[Evaluation]:
    folder, mpp, spec = options.dataset or Path(), options.mpp or np.nan, bundle.spec
    check_mpp(mpp)
    settling = spec.settling() if options.cascade else None
    images, skipped = _known(labelled_images(folder, spec.taxonomy), spec.taxonomy, options)
    classes = shared_classes([image.label for image in images], spec.taxonomy, str(folder))
    # all that is given is looked at before the model runs, which can take hours
    foreign_files = None if options.ood is None else image_files(options.ood)
    names = [image.path.relative_to(folder).as_posix() for image in images]
    raters = None if options.raters is None else _raters(options.raters, names, classes.taxonomy)
    yield Progress("Loading the model")
    from napari_deepheme.classify.ensemble import Ensemble  # noqa: PLC0415  torch takes seconds

    ensemble = Ensemble(bundle, options.device)
    paths = [image.path for image in images]
    predict = partial(
        predict_images,
        mpp=mpp,
        ensemble=ensemble,
        spec=spec,
        match_stain=options.match_stain,
        settling=settling,
    )
    found = yield from predict(paths)
    kept = np.array(found.kept)
    data = LabelledPredictions(
        names=tuple(names[i] for i in kept),
        taxonomy=classes.taxonomy,
        truth=classes.truth(images[i].label for i in kept),
        mean=classes.join(calibrated(found.raw, spec.calibration).astype(np.float64)),
        # of the cells that one alone settled nothing is known of the others
        members=classes.join(found.raw.members[: 0 if options.cascade else None].astype(np.float64)),
    )
    foreign = None
    if foreign_files is not None:
        others = yield from predict(foreign_files)
        foreign = _foreign(found.raw, others.raw, spec.calibration)
    yield Progress("Measuring")
    evaluation = evaluate_predictions(
        data,
        folder.name,
        f"{spec.name} {spec.version}{_asked(found.raw) if options.cascade else ''}",
        threshold=(spec.conformal.threshold, spec.conformal.coverage),
        raters=None if raters is None else Raters(raters.names, raters.labels[:, kept]),
        replicates=options.replicates,
    )
    return replace(
        evaluation, foreign=foreign, warnings=(*skipped, *_warnings(found, len(images), options, spec))
    )


def _asked(raw: RawOutputs) -> str:
    return f", a cascade: {passes(raw):.0%} of its members' answers"


def _known(
    images: list[LabelledImage], taxonomy: Taxonomy, options: EvaluateOptions
) -> tuple[list[LabelledImage], tuple[str, ...]]:
    """The images whose class the model can name, if the others are to be left out, and a word on those."""
    unknown = {label for label in {i.label for i in images} if not codes_meant(label, taxonomy)}
    if not options.skip_unknown or not unknown:
        return images, ()
    known = [image for image in images if image.label not in unknown]
    if not known:
        raise OptionError(f"{options.dataset}: the model has no class for any of {listed(sorted(unknown))}.")
    left = len(images) - len(known)
    return known, (
        f"{left} images of {', '.join(sorted(unknown))} are left out: the model has no such class",
    )


def _matched(
    names: tuple[str, ...], truth: dict[str, list[str]], predictions: Path, truth_path: Path
) -> list[str]:
    """Label of each prediction; an image that comes twice is matched in the order of its rows."""
    predicted, known = Counter(names), {name: len(labels) for name, labels in truth.items()}
    for path, missing in (
        (truth_path, [name for name in predicted if predicted[name] > known.get(name, 0)]),
        (predictions, [name for name in known if known[name] > predicted[name]]),
    ):
        if missing:
            raise TableError(f"{path}: images without a row there: {listed(missing)}.")
    waiting = {name: iter(labels) for name, labels in truth.items()}
    return [next(waiting[name]) for name in names]


def _raters(path: Path, names: Sequence[str], taxonomy: Taxonomy) -> Raters:
    """Labels of experts for the cells, matched by image name, with or without its folder."""
    table = read_raters(path)
    short = Counter(Path(name).name for name in names)
    place = {Path(n).name: i for i, n in enumerate(names) if short[Path(n).name] == 1}
    place |= {name: i for i, name in enumerate(names)}
    unknown = [name for name in table.index if name not in place]
    if unknown:
        raise TableError(f"{path}: images that are not in the set: {listed(unknown)}.")
    rows = [place[name] for name in table.index]
    labels = np.full((table.shape[1], len(names)), UNLABELLED, np.intp)
    for i, expert in enumerate(table.columns):
        labels[i, rows] = _rater_labels(f"{path}, column {expert}", list(table[expert]), taxonomy)
    return Raters(tuple(table.columns), labels)


def _rater_labels(where: str, labels: list[str], taxonomy: Taxonomy) -> list[int]:
    meant = {label: codes_meant(label, taxonomy) for label in labels if label}
    wrong = sorted(label for label, codes in meant.items() if len(codes) != 1)
    if wrong or not meant:
        what = f"{listed(wrong)} is no single class" if wrong else "there is no label"
        raise TableError(f"{where}: {what}; the classes are {', '.join(taxonomy.codes)}.")
    return [taxonomy.codes.index(meant[label][0]) if label else UNLABELLED for label in labels]


def _foreign(known: RawOutputs, foreign: RawOutputs, model: ModelCalibration) -> ForeignScores:
    one, other = assess(known, model), assess(foreign, model)
    several = len(known.members) > 1 and passes(known) == passes(foreign) == 1
    far = known.distance.astype(np.float64), foreign.distance.astype(np.float64)
    sure = (1 - each.confidence.astype(np.float64) for each in (one, other))
    return ForeignScores(
        n=len(foreign),
        entropy=auroc(one.entropy, other.entropy),
        mutual_information=auroc(one.mutual_information, other.mutual_information) if several else np.nan,
        confidence=auroc(*sure),
        distance=auroc(*far) if np.isfinite(far[0]).all() else np.nan,
    )


def _warnings(
    found: PredictedImages, total: int, options: EvaluateOptions, spec: BundleSpec
) -> tuple[str, ...]:
    warnings = []
    if found.faults:
        warnings.append(
            f"{len(found.faults)} of {total} images cannot be read and are left out, "
            f"the first: {found.faults[0]}"
        )
    if options.match_stain and spec.matches_stain and not found.stain_matched:
        warnings.append(
            "The stain could not be measured (no red cells around the cells): colours are as they are."
        )
    return tuple(warnings)
