"""Marked fields to a verified bundle of a detector, as one job."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from napari_deepheme.bundle import Architecture, Channels
from napari_deepheme.detect.bundle import DetectorBundle
from napari_deepheme.detect.network import HeatmapNetwork
from napari_deepheme.device import Device, torch_device
from napari_deepheme.errors import OptionError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.train.detector_bundle import DetectorFacts, make_detector
from napari_deepheme.train.duplicates import duplicate_groups, read_thumbnails
from napari_deepheme.train.fields import MarkedField, read_fields, read_marks
from napari_deepheme.train.recipe import Start
from napari_deepheme.train.scenes import SceneMaker, Scenes
from napari_deepheme.train.snapshot import replace_file
from napari_deepheme.train.start import weights_of

_HELD_BACK = 0.2
_FEWEST_FIELDS = 5
_REPORT_EVERY, _SAVE_EVERY = 10, 200
_WARM_UP = 100
_KEPT = 0.998  # of the mean of weights, at each step
_SIZE_WEIGHT = 0.5
_MOST_CERTAIN = 1e-4


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """How a detector is trained.

    Attributes
    ----------
    architecture : Architecture
        timm encoder.
    width : int
        Channels of the decoder.
    mpp : float
        µm/px it looks at.
    mean, std : tuple of float
        Of the transmitted share of light.
    start : str
        ``scratch``, ``imagenet`` (the encoder), or a file of weights of the same network.
    steps, batch_size : int
        Steps of the optimiser, and composed scenes in each.
    rate, weight_decay : float
        Of AdamW; the rate falls along one cosine.
    """

    architecture: Architecture = Architecture(name="regnetx_002")  # noqa: RUF009  frozen
    width: int = 48
    mpp: float = 0.5
    mean: Channels = (0.80, 0.65, 0.75)
    std: Channels = (0.20, 0.25, 0.20)
    start: str = Start.SCRATCH
    steps: int = 4000
    batch_size: int = 16
    rate: float = 2e-3
    weight_decay: float = 0.02


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """What to train a detector on, and where it goes.

    Attributes
    ----------
    dataset : Path
        A CSV of marks, or a folder of images with marks beside them (:mod:`napari_deepheme.train.fields`).
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
    recipe: DetectorRecipe = DetectorRecipe()
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
    work = options.out.with_name(f"{options.out.name}.training")
    if options.out.exists() and any(options.out.iterdir()):
        raise OptionError(f"{options.out} is there already; give another folder, or remove it.")
    if work.exists() and not options.resume:
        raise OptionError(f"An unfinished training lies in {work}; add --resume, or remove that folder.")
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
            f"{options.dataset}: no cell is marked in the fields held back to measure by; mark more fields, or "
            "give another --seed."
        )
    network = yield from learn(learned, options.recipe, work, (options.seed, options.device))
    yield Progress("Measuring")
    facts = DetectorFacts(
        name=options.out.name,
        version="1",
        data=f"{len(fields)} fields of {options.dataset.name}",
        licence=options.licence,
        split=f"by image: {len(learned)} fields to learn from, {len(kept)} held back",
        notes=tuple(f"Left out, unreadable: {fault}" for fault in thumbnails.faults),
    )
    bundle = make_detector(network_weights(network), options.recipe, kept, facts, options.out)
    shutil.rmtree(work)
    return bundle


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


def learn(
    fields: Sequence[MarkedField], recipe: DetectorRecipe, work: Path, run: tuple[int, Device]
) -> Job[nn.Module]:
    """Train a network on scenes composed of fields; what ``work`` holds of an earlier run is gone on from.

    Parameters
    ----------
    fields : sequence of MarkedField
    recipe : DetectorRecipe
    work : Path
        Folder for the state.
    run : (int, Device)
        Seed, and where the network runs.

    Returns
    -------
    nn.Module
        The mean of the weights over the last steps, in evaluation mode.
    """
    seed, device = run[0], torch_device(run[1])
    yield Progress("Loading the network")
    torch.manual_seed(seed)
    training = _Training(_starting(recipe).to(device).to(memory_format=torch.channels_last), recipe, work)
    training.resume()
    yield Progress("Cutting out cells")
    maker = SceneMaker(fields, recipe.mpp)
    while training.step < recipe.steps:
        rng = np.random.default_rng([seed, training.step])
        training.take_step(maker.scenes(recipe.batch_size, rng))
        if training.step % _SAVE_EVERY == 0 or training.step == recipe.steps:
            training.save()
        if training.step % _REPORT_EVERY == 0:
            yield Progress("Training", training.step, recipe.steps, training.message())
    return training.mean.eval()


def network_weights(network: nn.Module) -> bytes:
    """Weights as a bundle holds them: safetensors, float16."""
    return save(
        {
            name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
            for name, value in network.state_dict().items()
        }
    )


def detection_loss(outputs: torch.Tensor, scenes: Scenes) -> torch.Tensor:
    """Focal loss of the heatmap (Zhou et al. 2019, eq. 1) and smooth L1 of the logarithm of diameters.

    Parameters
    ----------
    outputs : Tensor of float32, shape (n, 2, h, w)
    scenes : Scenes
    """
    heat, counts = scenes.heat.to(outputs.device), scenes.counts.to(outputs.device)
    found = outputs[:, 0].sigmoid().clamp(_MOST_CERTAIN, 1 - _MOST_CERTAIN)
    centre = heat == 1
    at_centres = (1 - found) ** 2 * found.log()
    elsewhere = (1 - heat) ** 4 * found**2 * (1 - found).log()
    focal = -(torch.where(centre, at_centres, elsewhere) * counts).sum() / centre.sum().clamp(min=1)
    size = scenes.log_diameter.to(outputs.device)
    known = torch.isfinite(size)
    if not known.any():
        return focal
    return focal + _SIZE_WEIGHT * nn.functional.smooth_l1_loss(outputs[:, 1][known], size[known], beta=0.1)


class _Training:
    """A training under way."""

    def __init__(self, network: nn.Module, recipe: DetectorRecipe, work: Path) -> None:
        self.network, self.recipe, self.work = network, recipe, work
        self.mean = deepcopy(network)
        self.device = next(network.parameters()).device
        self.step = 0
        self.losses: list[float] = []
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay
        )
        shape = (1, 3, 1, 1)
        self._white = tuple(
            torch.tensor(v, device=self.device).view(shape) for v in (recipe.mean, recipe.std)
        )
        work.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Take up the state that was saved last, if there is one."""
        file = self.work / "state.pt"
        if not file.exists():
            return
        state = torch.load(file, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.losses = state["step"], state["losses"]

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "losses": self.losses,
        }
        replace_file(self.work / "state.pt", lambda file: torch.save(state, file))

    def take_step(self, scenes: Scenes) -> None:
        """One step of the optimiser."""
        rate = self.recipe.rate / 2 * (math.cos(math.pi * self.step / self.recipe.steps) + 1)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / _WARM_UP)
        self.network.train()
        mean, std = self._white
        images = ((scenes.images.to(self.device) - mean) / std).contiguous(memory_format=torch.channels_last)
        loss = detection_loss(self.network(images).float(), scenes)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self.losses.append(loss.item())
        self._average()

    @torch.no_grad()
    def _average(self) -> None:
        """Let the mean follow; faster in the beginning, when it has little to remember."""
        kept = min(_KEPT, (1 + self.step) / (10 + self.step))
        for mean, now in zip(
            self.mean.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - kept)
            else:
                mean.copy_(now)

    def message(self) -> str:
        """What a person watches."""
        recent = self.losses[-100:]
        return f"loss {sum(recent) / len(recent):.3f}"


def _starting(recipe: DetectorRecipe) -> HeatmapNetwork:
    if recipe.start == Start.IMAGENET:
        try:
            return HeatmapNetwork(recipe.architecture, recipe.width, pretrained=True)
        # what the hub raises without a network or without such weights: its own errors derive from these
        except (OSError, ValueError, RuntimeError) as err:
            raise OptionError(
                f"ImageNet weights of {recipe.architecture.name} cannot be had ({str(err).splitlines()[0]}); "
                "connect to the internet once, or use --start scratch."
            ) from err
    network = HeatmapNetwork(recipe.architecture, recipe.width)
    if recipe.start != Start.SCRATCH:
        try:
            network.load_state_dict(weights_of(Path(recipe.start)))
        except RuntimeError as err:
            raise OptionError(
                f"{recipe.start}: not the weights of this detector ({str(err).splitlines()[0]}); "
                "expected the member file of a detector bundle of the same network."
            ) from err
    return network
