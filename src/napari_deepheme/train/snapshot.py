"""The snapshot loop: one training, several members.

Huang et al. 2017 (arXiv:1704.00109): the learning rate falls along a cosine and is put back up at the
start of every cycle; the network that a cycle leaves is a member.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from napari_deepheme.classify.bundle import Head
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.models.device import trains_faster_in_bf16
from napari_deepheme.models.memory import keep_freed_memory
from napari_deepheme.train.recipe import Keep, Optimiser, Recipe
from napari_deepheme.train.state import read_state, replace_file, write_state

Batch = tuple[torch.Tensor, torch.Tensor]
Weights = dict[str, torch.Tensor]

_REPORT_EVERY = 10


class TrainingData(Protocol):
    """What a training draws from and is judged by."""

    batches_per_epoch: int

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Images (n, 3, h, w) and class indices (n,) of an epoch, counted from 0 over all cycles.

        The same epoch gives the same batches again.
        """
        ...

    def accuracy(self, network: nn.Module) -> float:
        """Share of the validation cells that ``network`` names right."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the optimiser, as the learning-rate trace keeps it."""

    cycle: int
    epoch: int
    rate: float
    loss: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training.

    Attributes
    ----------
    members : tuple of Path
        Weights as safetensors, a file a cycle.
    trace : tuple of Step
        Every step there was.
    accuracies : tuple of float
        On the validation cells, after each epoch.
    """

    members: tuple[Path, ...]
    trace: tuple[Step, ...]
    accuracies: tuple[float, ...]


def snapshot_rate(iteration: int, per_cycle: int, initial: float) -> float:
    """Learning rate of an iteration counted from 0 (Huang et al. 2017, eq. 2).

    ``initial / 2 · (cos(π · mod(iteration, per_cycle) / per_cycle) + 1)``
    """
    return initial / 2 * (math.cos(math.pi * (iteration % per_cycle) / per_cycle) + 1)


def train_snapshots(
    network: nn.Module, data: TrainingData, recipe: Recipe, work: Path, seed: int
) -> Job[Trained]:
    """Train through every cycle; what ``work`` holds of an earlier run is gone on from.

    A run that was killed and taken up again ends with the same weights as one that was not.

    Parameters
    ----------
    network : nn.Module
        From images (n, 3, h, w) to logits (n, k); on the device to train on.
    data : TrainingData
    recipe : Recipe
    work : Path
        Folder for the state after each epoch and the members.
    seed : int

    Yields
    ------
    Progress
        ``done`` and ``total`` are steps.
    """
    keep_freed_memory(whole=True)
    run = _Training(network, data, recipe, work)
    run.resume()
    for epoch in range(run.epochs_done, recipe.cycles * recipe.epochs):
        torch.manual_seed(seed + epoch)
        yield from run.train_epoch(epoch)
        run.end_epoch(epoch, data.accuracy(network))
    members = tuple(run.member_file(cycle) for cycle in range(recipe.cycles))
    return Trained(members, tuple(run.trace), tuple(run.accuracies))


class _Training:
    """A training under way."""

    def __init__(self, network: nn.Module, data: TrainingData, recipe: Recipe, work: Path) -> None:
        self.network, self.data, self.recipe, self.work = network, data, recipe, work
        self.optimiser = make_optimiser(network, recipe)
        self.device = next(network.parameters()).device
        self.trace: list[Step] = []
        self.accuracies: list[float] = []
        self.mean: Weights = {}
        work.mkdir(parents=True, exist_ok=True)

    @property
    def epochs_done(self) -> int:
        return len(self.accuracies)

    def member_file(self, cycle: int) -> Path:
        return self.work / f"cycle-{cycle}.safetensors"

    def resume(self) -> None:
        """Take up the state that the last whole epoch left, if there is one."""
        file = self.work / "state.pt"
        if not file.exists():
            return
        state: Any = read_state(file, self.device)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.trace = [Step(int(c), int(e), rate, loss) for c, e, rate, loss in state["trace"]]
        self.accuracies = state["accuracies"]
        self.mean = {name: value.cpu() for name, value in state["mean"].items()}

    def train_epoch(self, epoch: int) -> Job[None]:
        """One pass over the data."""
        recipe, n = self.recipe, self.data.batches_per_epoch
        cycle = epoch // recipe.epochs
        self.network.train()
        for number, (images, labels) in enumerate(self.data.batches(epoch), start=1):
            rate = snapshot_rate(epoch * n + number - 1, recipe.epochs * n, recipe.rate)
            self.trace.append(Step(cycle, epoch, rate, self.step(images, labels, rate)))
            if number % _REPORT_EVERY == 0 or number == n:
                yield Progress(
                    "Training", epoch * n + number, recipe.cycles * recipe.epochs * n, self.message(epoch)
                )

    def step(self, images: torch.Tensor, labels: torch.Tensor, rate: float) -> float:
        """One step of the optimiser; its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        images, labels = images.to(self.device), labels.to(self.device)
        share, order = self.mixup(len(labels))
        images = torch.lerp(images[order], images, share) if share < 1 else images
        with torch.autocast(self.device.type, torch.bfloat16, enabled=trains_faster_in_bf16(self.device)):
            logits = self.network(images.contiguous(memory_format=torch.channels_last)).float()
        truth = one_hot(labels, logits.shape[1]).float()
        loss = self.loss(logits, torch.lerp(truth[order], truth, share))
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        return loss.item()

    def mixup(self, n: int) -> tuple[float, torch.Tensor]:
        """Share that images keep when mixed with others, and which others (Zhang et al. 2018)."""
        if not self.recipe.mixup:
            return 1.0, torch.arange(n)
        share = torch.distributions.Beta(self.recipe.mixup, self.recipe.mixup).sample().item()
        return share, torch.randperm(n)

    def loss(self, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Cross-entropy, or for independent outputs its binary form."""
        if self.recipe.head is Head.SIGMOID:
            return binary_cross_entropy_with_logits(logits, truth)
        return cross_entropy(logits, truth, label_smoothing=self.recipe.label_smoothing)

    def end_epoch(self, epoch: int, accuracy: float) -> None:
        """Keep the member if it is one, then the state; a kill between the two costs an epoch, no more."""
        within = epoch % self.recipe.epochs
        earlier = self.accuracies[epoch - within :]
        self.accuracies.append(accuracy)
        kept = within == self.recipe.epochs - 1
        if self.recipe.keep is Keep.BEST:
            kept = accuracy > max(earlier, default=-1.0)
        weights = _weights(self.network)
        if self.recipe.keep is Keep.MEAN:
            kept = True
            weights = self.averaged(weights, within)
        if kept:
            replace_file(self.member_file(epoch // self.recipe.epochs), lambda f: save_file(weights, f))
        state: dict[str, object] = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "trace": [(s.cycle, s.epoch, s.rate, s.loss) for s in self.trace],
            "accuracies": self.accuracies,
            "mean": self.mean,
        }
        write_state(self.work / "state.pt", state)

    def averaged(self, weights: Weights, within: int) -> Weights:
        """Mean of the weights after each epoch of the second half of the cycle (Izmailov et al. 2018)."""
        n = within - self.recipe.epochs // 2
        if n <= 0:
            self.mean = weights
        else:
            self.mean = {
                name: value + (self.mean[name] - value) * (n / (n + 1))
                if value.is_floating_point()
                else value
                for name, value in weights.items()
            }
        return self.mean

    def message(self, epoch: int) -> str:
        """What a person watches."""
        recent = self.trace[-self.data.batches_per_epoch :]
        loss = sum(step.loss for step in recent) / len(recent)
        known = f", accuracy {self.accuracies[-1]:.3f}" if self.accuracies else ""
        return (
            f"cycle {epoch // self.recipe.epochs + 1} of {self.recipe.cycles}, "
            f"epoch {epoch % self.recipe.epochs + 1} of {self.recipe.epochs}, "
            f"rate {self.trace[-1].rate:.1e}, loss {loss:.3f}{known}"
        )


def make_optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam or AdamW that leaves norms and biases undecayed."""
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.Adam if recipe.optimiser is Optimiser.ADAM else torch.optim.AdamW
    return kind(groups, lr=recipe.rate)


def _weights(network: nn.Module) -> Weights:
    # contiguous whatever the memory format of training, for that is what safetensors writes
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
