"""Batch normalisation with statistics of a laboratory's own cells."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

_Norm = nn.BatchNorm1d | nn.BatchNorm2d
SHARE = 0.5
"""Of the laboratory's statistics in the new ones; the rest is the parent's."""


def normalises(network: nn.Module) -> bool:
    """Whether a network has batch normalisation."""
    return any(_norms(network))


def take_statistics(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Mix the statistics of images into those that batch normalisation has; no weight changes.

    Means and variances are those of a mixture of the parent's cells and these. Few cells and their classes
    would otherwise decide alone, and the parent's own cells would no longer be known.

    Parameters
    ----------
    network : Module
        Not fused; it is changed in place, and is in evaluation mode afterwards.
    batches : iterable of Tensor, shape (n, 3, p, p)
        Images as the network takes them, classes mixed in each batch.
    """
    norms = [*_norms(network)]
    parents = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]  # type: ignore[union-attr]
    network.eval().to(memory_format=torch.channels_last)  # what convolutions run fastest on
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches
        norm.train()
    with torch.inference_mode():
        for images in batches:
            network(images)
    for norm, (mean, variance) in zip(norms, parents, strict=True):
        assert norm.running_mean is not None and norm.running_var is not None
        gap = norm.running_mean - mean
        norm.running_mean = mean + SHARE * gap
        norm.running_var = (1 - SHARE) * variance + SHARE * norm.running_var + SHARE * (1 - SHARE) * gap**2
        norm.eval()


def _norms(network: nn.Module) -> Iterable[nn.BatchNorm1d | nn.BatchNorm2d]:
    return (each for each in network.modules() if isinstance(each, _Norm) and each.track_running_stats)
