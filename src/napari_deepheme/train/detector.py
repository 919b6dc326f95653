"""Marked fields to a verified bundle of a detector, as one job."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tomli_w
import torch
from numpy.typing import NDArray

from napari_deepheme.datasets.duplicates import duplicate_groups, read_thumbnails
from napari_deepheme.datasets.fields import MarkedField, read_fields, read_marks
from napari_deepheme.detect.bundle import DetectorBundle
from napari_deepheme.errors import OptionError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.models.device import Device
from napari_deepheme.train.detector_bundle import DetectorFacts, make_detector
from napari_deepheme.train.heatmap import DetectorRecipe, learn, network_weights, starting_detector
from napari_deepheme.train.work import claim, work_folder

_HELD_BACK = 0.2
_FEWEST_FIELDS = 5


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """What to train a detector on, and where it goes.

    Attributes
    ----------
    dataset : Path
        A CSV of marks, or a folder of images with marks beside them (:mod:`napari_deepheme.datasets.fields`).
    out : Path
        Folder of the bundle; the unfinished training lies beside it in ``<out>.training``.
    mpp : float or None
        µm/px of the images, where the table does not say it.
    recipe : DetectorRecipe
    resume : bool
        Go on with an unfinished training.
    device : Device
    seed : int
    licence : str
        Of the weights, for the card.
    """

    dataset: Path
    out: Path
    mpp: float | None = None
    recipe: DetectorRecipe = DetectorRecipe()  # noqa: RUF009  frozen
    resume: bool = False
    device: Device = Device.AUTO
    seed: int = 0
    licence: str = "not stated"


def train_detector(options: DetectorOptions) -> Job[DetectorBundle]:
    """Train a detector on composed scenes of marked fields; a fifth of the fields is held back to measure by.

    Raises
    ------
    OptionError, TableError, SlideError, ScaleError
        An option, the marks or the images cannot be used.
    """
    work = work_folder(options.out)
    yield Progress("Loading the network")
    starting_detector(options.recipe)  # before the images are read, which can take long
    marks = read_marks(options.dataset, options.mpp)
    thumbnails = yield from read_thumbnails([mark.path for mark in marks])
    fields = yield from read_fields([marks[i] for i in thumbnails.kept])
    held = held_back(duplicate_groups(thumbnails.pixels), options.seed)
    learned = [field for field, back in zip(fields, held, strict=True) if not back]
    kept = [field for field, back in zip(fields, held, strict=True) if back]
    if not any(len(field.cells) for field in learned):
        raise OptionError(f"{options.dataset}: no field with a cell is left to learn from; mark more fields.")
    if not any(len(field.cells) for field in kept):
        raise OptionError(
            f"{options.dataset}: no cell is marked in the fields held back to measure by; mark more fields, "
            "or give another --seed."
        )
    record = _record(options, fields)
    claim(work, record, resume=options.resume)
    network = yield from learn(learned, options.recipe, work, (options.seed, options.device))
    yield Progress("Measuring")
    facts = DetectorFacts(
        name=options.out.name,
        version="1",
        data=f"{len(fields)} fields of {options.dataset.name}",
        licence=options.licence,
        split=f"by image: {len(learned)} fields to learn from, {len(kept)} held back",
        notes=tuple(f"Left out, unreadable: {fault}" for fault in thumbnails.faults),
        record=record,
    )
    bundle = make_detector(network_weights(network), options.recipe, kept, facts, options.out)
    shutil.rmtree(work)
    return bundle


def _record(options: DetectorOptions, fields: Sequence[MarkedField]) -> str:
    """TOML of everything that makes the bundle."""
    marks = "\n".join(
        f"{field.path.name} {field.cells.tolist()} {field.others.tolist()} {field.unsure.tolist()}"
        for field in fields
    )
    recipe = options.recipe
    return tomli_w.dumps(
        {
            "napari_deepheme": version("napari-deepheme"),
            "torch": torch.__version__,
            "seed": options.seed,
            "data": {
                "dataset": options.dataset.name,
                "fields": len(fields),
                "sha256": sha256(marks.encode()).hexdigest(),
            },
            "recipe": asdict(recipe) | {"architecture": recipe.architecture.model_dump(exclude_none=True)},
        }
    )


def held_back(groups: NDArray[np.intp], seed: int, share: float = _HELD_BACK) -> NDArray[np.bool_]:
    """Which images to hold back: whole groups of duplicates, about a share of all.

    Raises
    ------
    OptionError
        There are fewer than five different images.
    """
    names = np.unique(groups)
    if len(names) < _FEWEST_FIELDS:
        raise OptionError(
            f"{len(names)} different images are marked; a detector needs at least {_FEWEST_FIELDS} "
            "to learn from some and be measured on others."
        )
    order = np.random.default_rng(seed).permutation(names)
    chosen: NDArray[np.bool_] = np.isin(groups, order[: max(1, round(share * len(names)))])
    return chosen
