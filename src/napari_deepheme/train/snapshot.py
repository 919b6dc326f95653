"""The snapshot loop: one training, several members.

Huang et al. 2017 (arXiv:1704.00109): the learning rate falls along a cosine and is put back up at the
start of every cycle; the network at the end of each cycle is a member.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from napari_deepheme.jobs import Job, Progress

Batch = tuple[torch.Tensor, torch.Tensor]
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class SnapshotOptions:
    """How a snapshot ensemble is trained.

    Attributes
    ----------
    cycles, epochs : int
        Members, and epochs that each takes.
    rate : float
        Learning rate at the start of a cycle.
    weight_decay, label_smoothing : float
    """

    cycles: int = 3
    epochs: int = 12
    rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05


@dataclass(frozen=True, slots=True)
class Trace(Progress):
    """Progress after an epoch, with the mean training loss and the last learning rate used."""

    loss: float = math.nan
    rate: float = math.nan


def snapshot_rate(iteration: int, per_cycle: int, initial: float) -> float:
    """Learning rate of an iteration counted from 0 (Huang et al. 2017, eq. 2).

    ``initial / 2 · (cos(π · mod(iteration, per_cycle) / per_cycle) + 1)``
    """
    return initial / 2 * (math.cos(math.pi * (iteration % per_cycle) / per_cycle) + 1)


def train_cycle(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    epoch_batches: Callable[[int], Iterable[Batch]],
    batches_per_epoch: int,
    options: SnapshotOptions,
) -> Job[Weights]:
    """Train ``network`` in place through one cycle and return its snapshot.

    Parameters
    ----------
    network : nn.Module
        From images (n, 3, h, w) to logits (n, k).
    optimiser : torch.optim.Optimizer
        Over the network's parameters; its rate is set before every step.
    epoch_batches : callable
        Gives the batches (images, labels) of an epoch of this cycle, counted from 0.
    batches_per_epoch : int
    options : SnapshotOptions

    Returns
    -------
    dict of str to Tensor
        A copy of the network's state on the CPU.
    """
    criterion = nn.CrossEntropyLoss(label_smoothing=options.label_smoothing)
    per_cycle = options.epochs * batches_per_epoch
    network.train()
    iteration = 0
    for epoch in range(options.epochs):
        losses = []
        for images, labels in epoch_batches(epoch):
            rate = snapshot_rate(iteration, per_cycle, options.rate)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = criterion(network(images), labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            iteration += 1
        mean_loss = sum(losses) / len(losses)
        yield Trace("Training", epoch + 1, options.epochs, loss=mean_loss, rate=rate)
    # contiguous whatever the memory format of training, for that is what safetensors writes
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }


def make_optimiser(network: nn.Module, options: SnapshotOptions) -> torch.optim.Optimizer:
    """AdamW that leaves norms and biases undecayed."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    kept = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.rate)
