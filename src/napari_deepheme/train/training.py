"""Labelled cells and a recipe to a verified bundle, as one job."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tomli_w
import torch
from numpy.typing import NDArray
from torch import nn

from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.datasets.dataset import TrainingImage, read_dataset
from napari_deepheme.datasets.duplicates import duplicate_groups, read_thumbnails, refuse_crossing
from napari_deepheme.datasets.folders import check_mpp
from napari_deepheme.datasets.split import Split, split_images
from napari_deepheme.errors import OptionError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.models.device import Device, torch_device
from napari_deepheme.taxonomy import Taxonomy
from napari_deepheme.train.bundling import Parts, Provenance, evenly_drawn, make_ensemble
from napari_deepheme.train.patches import Patches, read_patches
from napari_deepheme.train.recipe import Recipe
from napari_deepheme.train.sampling import Sampler
from napari_deepheme.train.snapshot import Trained, train_snapshots
from napari_deepheme.train.start import starting_network
from napari_deepheme.train.work import claim, work_folder

_HELD_BACK = 0.2
_FEW = 50


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What to train, and where it goes.

    Attributes
    ----------
    dataset : Path
        Folder of a folder per class, or a CSV with the columns path, label and perhaps patient, split.
    out : Path
        Folder of the bundle; the unfinished training lies beside it in ``<out>.training``.
    recipe : Recipe
    taxonomy : Taxonomy
    mpp : float
        µm per pixel of the images.
    resume : bool
        Go on with an unfinished training.
    device : Device
    seed : int
    licence : str
        Of the weights, for the card.
    """

    dataset: Path
    out: Path
    recipe: Recipe
    taxonomy: Taxonomy
    mpp: float
    resume: bool = False
    device: Device = Device.AUTO
    seed: int = 0
    licence: str = "not stated"


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A finished training: the bundle, and what a person should know of the images."""

    bundle: Bundle
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """The images, and what each is for."""

    images: tuple[TrainingImage, ...]
    groups: NDArray[np.intp]
    train: NDArray[np.intp]
    calibration: NDArray[np.intp]
    test: NDArray[np.intp]
    by: str
    warnings: tuple[str, ...]


def train(options: TrainOptions) -> Job[Training]:
    """Train a snapshot ensemble.

    A fifth of the cells is held back, by patient where patients are known: one half of it to choose epochs
    and to calibrate, the other to measure. A split that a table gives is kept, its ``val`` halved so.

    Yields
    ------
    Progress

    Returns
    -------
    Training
        Its bundle has calibration, figures, model card, the learning-rate trace and a record of what made it.

    Raises
    ------
    OptionError, ScaleError, TableError, TaxonomyError, SlideError
        An option or the images cannot be used; duplicates lie on both sides of a given split.
    """
    check_mpp(options.mpp)
    work = work_folder(options.out)
    yield Progress("Loading the network")
    _network(options)  # before the images are read, which can take hours
    plan = yield from _planned(options)
    record = _record(options, plan)
    claim(work, record, resume=options.resume)
    recipe, taxonomy = options.recipe, options.taxonomy
    patches = yield from read_patches(plan.images, taxonomy, options.mpp, (recipe.input_px, recipe.mpp), work)
    trainings = []
    for fold, split in enumerate(_folds(plan, recipe.folds, options.seed)):
        trainings.append((yield from _train_fold(options, patches, split, work / f"fold-{fold}")))
    yield Progress("Calibrating and measuring")
    bundle = make_ensemble(
        _joined(trainings),
        recipe,
        taxonomy,
        Parts(*(patches.take(index) for index in (evenly_drawn(plan.train), plan.calibration, plan.test))),
        _provenance(options, plan, record),
        options.out,
    )
    shutil.rmtree(work)
    return Training(bundle, plan.warnings)


def _planned(options: TrainOptions) -> Job[_Plan]:
    """Read what there is, leave out what cannot be read, and divide the rest."""
    data = read_dataset(options.dataset, options.taxonomy)
    thumbnails = yield from read_thumbnails([image.path for image in data.images])
    images = tuple(data.images[i] for i in thumbnails.kept)
    faults = tuple(f"left out, unreadable: {fault}" for fault in thumbnails.faults)
    groups = duplicate_groups(thumbnails.pixels)
    outer = split_images(images, groups, _HELD_BACK, options.seed)
    refuse_crossing(images, groups, outer)
    calibration, test, remark = _halved(images, groups, outer.val, options.seed)
    warnings = tuple(dict.fromkeys((*data.warnings, *faults, *outer.warnings, *remark)))
    return _Plan(images, groups, outer.train, calibration, test, outer.by, warnings)


def _halved(
    images: Sequence[TrainingImage], groups: NDArray[np.intp], held: NDArray[np.intp], seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], tuple[str, ...]]:
    """The cells held back to calibrate, those to measure, and what to say where they cannot be told apart."""
    try:
        inner = split_images([replace(images[i], split=None) for i in held], groups[held], 0.5, seed)
    except OptionError:
        remark = "Too few patients or images are held back: calibrated and measured on the same cells"
        return held, held, (f"{remark}, so the calibration is flattered.",)
    return held[inner.train], held[inner.val], ()


def _folds(plan: _Plan, folds: int, seed: int) -> Iterator[Split]:
    """What each training learns from and is judged by: the calibration cells, or a part in turn."""
    if folds == 1:
        yield Split(plan.train, plan.calibration, plan.by, ())
        return
    left = plan.train
    for fold in range(folds):
        if fold == folds - 1:
            part = left
        else:
            images = [replace(plan.images[i], split=None) for i in left]
            part = left[split_images(images, plan.groups[left], 1 / (folds - fold), seed).val]
        left = np.setdiff1d(left, part)
        yield Split(np.setdiff1d(plan.train, part), part, plan.by, ())


def _network(options: TrainOptions) -> nn.Module:
    torch.manual_seed(options.seed)
    return starting_network(options.recipe, len(options.taxonomy.classes), torch_device(options.device))


def _train_fold(options: TrainOptions, patches: Patches, split: Split, work: Path) -> Job[Trained]:
    network = _network(options)
    yield Progress("Preparing views")
    sampler = Sampler(patches, (split.train, split.val), options.recipe, options.seed)
    return (yield from train_snapshots(network, sampler, options.recipe, work, options.seed))


def _joined(trainings: Sequence[Trained]) -> Trained:
    return Trained(
        tuple(file for each in trainings for file in each.members),
        tuple(step for each in trainings for step in each.trace),
        tuple(accuracy for each in trainings for accuracy in each.accuracies),
    )


def _record(options: TrainOptions, plan: _Plan) -> str:
    """TOML of everything that makes the bundle."""
    cells = "\n".join(f"{image.path.name} {image.code}" for image in plan.images)
    parts = {"train": plan.train, "calibration": plan.calibration, "test": plan.test}
    return tomli_w.dumps(
        {
            "napari_deepheme": version("napari-deepheme"),
            "torch": torch.__version__,
            "seed": options.seed,
            "data": {
                "dataset": options.dataset.name,
                "mpp": options.mpp,
                "divided": plan.by,
                "cells": {name: len(index) for name, index in parts.items()},
                "sha256": sha256(cells.encode()).hexdigest(),
            },
            "taxonomy": {"name": options.taxonomy.name, "codes": list(options.taxonomy.codes)},
            "recipe": options.recipe.model_dump(mode="json", exclude_none=True),
        }
    )


def _provenance(options: TrainOptions, plan: _Plan, record: str) -> Provenance:
    codes = [image.code for image in plan.images]
    trained = [codes[i] for i in plan.train]
    counts = {code: trained.count(code) for code in options.taxonomy.codes}
    return Provenance(
        name=options.out.name,
        version="1",
        data=f"{len(codes)} images of {options.dataset.name}, {options.mpp:g} µm/px",
        licence=options.licence,
        split=f"{plan.by}: {len(plan.train)} to learn from, {len(plan.calibration)} to calibrate, "
        f"{len(plan.test)} to measure",
        start=Path(options.recipe.start).name,
        counts=counts,
        # a card travels; where the images lay on this machine is nobody else's business
        notes=(
            *_sentences(w.replace(f"{options.dataset}", options.dataset.name) for w in plan.warnings),
            *_rare(counts),
        ),
        record=record,
    )


def _sentences(warnings: Iterable[str]) -> Iterator[str]:
    return (f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in warnings)


def _rare(counts: dict[str, int]) -> Iterator[str]:
    rare = [f"{code} ({n})" for code, n in counts.items() if 0 < n < _FEW]
    if rare:
        yield f"Learned from fewer than {_FEW} cells: {', '.join(rare)}."
