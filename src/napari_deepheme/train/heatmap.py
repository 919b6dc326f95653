"""Trains the network of a detector on composed scenes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from napari_deepheme.datasets.fields import MarkedField
from napari_deepheme.detect.network import HeatmapNetwork
from napari_deepheme.errors import OptionError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.models.device import Device, torch_device
from napari_deepheme.models.memory import keep_freed_memory
from napari_deepheme.models.spec import Architecture, Channels
from napari_deepheme.train.recipe import Start
from napari_deepheme.train.scenes import SceneMaker, Scenes
from napari_deepheme.train.start import weights_of
from napari_deepheme.train.state import read_state, write_state

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
    keep_freed_memory(whole=True)
    seed, device = run[0], torch_device(run[1])
    yield Progress("Loading the network")
    torch.manual_seed(seed)
    network = starting_detector(recipe).to(device).to(memory_format=torch.channels_last)
    training = _Training(network, recipe, work)
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
        state: Any = read_state(file, self.device)
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.losses = state["step"], state["losses"]

    def save(self) -> None:
        state: dict[str, object] = {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "losses": self.losses,
        }
        write_state(self.work / "state.pt", state)

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


def starting_detector(recipe: DetectorRecipe) -> HeatmapNetwork:
    """The network a training begins with; :class:`OptionError` if its weights cannot be had."""
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
