"""The class prior of a training, and the one expected on slides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from napari_deepheme.classify.network import build_network
from napari_deepheme.taxonomy import Taxonomy
from napari_deepheme.train.recipe import Recipe
from napari_deepheme.train.snapshot import Weights

Shares = NDArray[np.float64]


def training_prior(recipe: Recipe, taxonomy: Taxonomy, counts: Mapping[str, int]) -> Shares:
    """Share of each class in the batches of a training on so many cells, shape (k,)."""
    drawn = np.array([max(1, counts.get(code, 0)) for code in taxonomy.codes]) ** (1.0 - recipe.balance)
    shares: Shares = drawn / drawn.sum()
    return shares


def slide_prior(shares: Shares, recipe: Recipe, taxonomy: Taxonomy) -> Shares:
    """The same on slides: of the classes that are rare there no more than the recipe says, shape (k,)."""
    most = np.array([recipe.rare.get(code, 1.0) for code in taxonomy.codes])
    common = shares <= most
    left = 1 - most[~common].sum()
    expected: Shares = np.where(common, shares * left / shares[common].sum(), most)
    return expected


def expecting(weights: Weights, recipe: Recipe, learned: Shares, expected: Shares) -> Weights:
    """A member that learned from classes in one class prior, made to expect another (Saerens et al. 2002)."""
    network = build_network(recipe.architecture, len(learned))
    *_, last = (name for name, _ in network.named_parameters())  # what is added to the outputs
    return weights | {last: weights[last] + torch.from_numpy(np.log(expected / learned)).float()}
