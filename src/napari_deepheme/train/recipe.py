"""Recipes: everything that makes an ensemble out of labelled cells, as TOML."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_deepheme.classify.bundle import Head, InputSide, Magnifications
from napari_deepheme.classify.stain import Matching, StainMatching
from napari_deepheme.errors import OptionError
from napari_deepheme.files import read_toml
from napari_deepheme.models.spec import Architecture, Channels, Deviations, Scale, Share
from napari_deepheme.train.augment import Amount, ViewOptions

RECIPES = ("deepheme", "preprint", "munich", "small")

Count = Annotated[int, Field(ge=1)]


class Keep(StrEnum):
    """What of a cycle becomes a member: an epoch, or the mean of the epochs of its second half."""

    LAST = "last"
    BEST = "best"
    MEAN = "mean"


class Optimiser(StrEnum):
    """How steps are taken."""

    ADAM = "adam"
    ADAMW = "adamw"


class Start(StrEnum):
    """Weights to start from, where no file is named."""

    SCRATCH = "scratch"
    IMAGENET = "imagenet"


class Recipe(BaseModel):
    """How an ensemble is trained.

    Attributes
    ----------
    name, source : str
        What it is called and where it comes from.
    taxonomy : str
        Name of a preset, or a TOML file.
    architecture : Architecture
    head : Head
        Softmax with cross-entropy, or sigmoid with binary cross-entropy.
    input_px, mpp, mean, std
        Crops as the networks take them.
    match_stain : StainMatching
        In which views the bundle brings a slide's stain to that of the training cells.
    start : str
        ``scratch``, ``imagenet``, or a file of weights (``.safetensors``, ``.pth``).
    folds : int
        Above 1, cross-validation: a training for each part left out.
    cycles, epochs : int
        Members of a training, and epochs that each takes.
    keep : Keep
    rate, weight_decay : float
    optimiser : Optimiser
    batch_size : int
    test_time_views : tuple of float
        At which each crop is seen when it is called; its probabilities are the mean.
    rare : mapping of str to float
        Classes that are rarer among the cells a detector finds than among those shown in training, and their
        share there: artefacts. Their probabilities are lowered for it (Saerens et al. 2002).
    balance : float
        Classes are drawn in proportion to their size to the power of 1 less this: 0 as they come, 1 equally.
    label_smoothing, mixup : float
        ``mixup`` is the α of Zhang et al. 2018; 0 is off.
    risk, confidence, coverage : float
        What the review threshold and the conformal sets are to keep.
    views : ViewOptions
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    source: str
    taxonomy: str
    architecture: Architecture
    head: Head = Head.SOFTMAX
    input_px: InputSide = 96
    mpp: Scale = 0.25
    mean: Channels
    std: Deviations
    test_time_views: Magnifications = (1.0,)
    rare: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    match_stain: Matching = StainMatching.ALL
    start: str = Start.SCRATCH
    folds: Count = 1
    cycles: Count
    epochs: Count
    keep: Keep = Keep.LAST
    optimiser: Optimiser = Optimiser.ADAMW
    rate: Annotated[float, Field(gt=0)]
    weight_decay: Amount = 0.0
    batch_size: Annotated[int, Field(ge=2)] = 64
    balance: Share = 0.5
    label_smoothing: Share = 0.0
    mixup: Amount = 0.0
    risk: Share = 0.1
    confidence: Share = 0.9
    coverage: Share = 0.9
    views: ViewOptions = ViewOptions()

    def to_toml(self) -> str:
        """The recipe as a file that :func:`read_recipe` takes."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def read_recipe(name: str, changes: Path | None = None) -> Recipe:
    """One of the recipes of the package, with what a TOML file changes in it.

    Raises
    ------
    OptionError
        There is no such recipe, or the file is no TOML or does not fit.
    """
    if name not in RECIPES:
        raise OptionError(f"There is no recipe {name!r}; there are {', '.join(RECIPES)}.")
    text = (files(__package__) / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    values = tomllib.loads(text)
    if changes is not None:
        values = _merged(values, _read(changes))
    try:
        return Recipe.model_validate(values)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise OptionError(f"{changes}: {where} does not fit a recipe ({first['msg']}).") from err


def _read(file: Path) -> dict[str, Any]:
    try:
        values = read_toml(file)
    except (OSError, ValueError) as err:
        raise OptionError(f"{file} cannot be read as TOML ({err}).") from err
    if "magnifications" in values:  # what version 0.1 called them
        values["test_time_views"] = values.pop("magnifications")
    return values


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``changes`` over ``values``, tables key by key; an empty one takes the place of what was there."""
    merged = dict(values)
    for key, value in changes.items():
        old = merged.get(key)
        within = isinstance(old, dict) and isinstance(value, dict) and len(value) > 0
        merged[key] = _merged(merged[key], value) if within else value
    return merged
