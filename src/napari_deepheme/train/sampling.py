"""What a training sees: batches of random views, and the validation cells as they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_deepheme.slide.tiles import prefetch
from napari_deepheme.train.augment import augment
from napari_deepheme.train.mixing import Mixer
from napari_deepheme.train.patches import Patches
from napari_deepheme.train.recipe import Recipe
from napari_deepheme.train.snapshot import Batch

_VALIDATION_BATCH = 256


class Sampler:
    """Draws the batches of an epoch; the same epoch of the same seed gives the same again.

    Parameters
    ----------
    patches : Patches
    train, val : ndarray of int
        Which patches to learn from, and which to be judged by.
    recipe : Recipe
    seed : int
    """

    def __init__(
        self, patches: Patches, split: tuple[NDArray[np.intp], NDArray[np.intp]], recipe: Recipe, seed: int
    ) -> None:
        self.train, self.val = split
        self.patches, self.recipe, self.seed = patches, recipe, seed
        self._mixer = Mixer(patches, self.train, recipe.input_px)
        sizes = np.bincount(patches.labels[self.train], minlength=1).astype(float)
        weights = sizes[patches.labels[self.train]] ** -recipe.balance
        self._weights = weights / weights.sum()
        self._size = min(recipe.batch_size, len(self.train))
        self.batches_per_epoch = len(self.train) // self._size

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Images (n, 3, h, w), normalised, and class indices (n,) of an epoch."""
        order = np.random.default_rng([self.seed, epoch]).choice(
            self.train, self.batches_per_epoch * self._size, p=self._weights
        )
        numbers = range(self.batches_per_epoch)
        if not torch.cuda.is_available():
            # a second thread would only take the processors from the network
            return (self._batch(order, epoch, number) for number in numbers)
        return prefetch(numbers, lambda number: self._batch(order, epoch, number), threads=4, ahead=8)

    def _batch(self, order: NDArray[np.intp], epoch: int, number: int) -> Batch:
        index = order[number * self._size : (number + 1) * self._size]
        rng = np.random.default_rng([self.seed, epoch, number])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        mixed = self._mixer.mixed(index, self.recipe.views, rng)
        views = augment(mixed, self.recipe.input_px, self.recipe.views, generator)
        return normalised(views, self.recipe), torch.from_numpy(self.patches.labels[index])

    @torch.inference_mode()
    def accuracy(self, network: nn.Module) -> float:
        """Share of the validation cells that ``network`` names right."""
        network.eval()
        device = next(network.parameters()).device
        right = 0
        for start in range(0, len(self.val), _VALIDATION_BATCH):
            part = self.patches.take(self.val[start : start + _VALIDATION_BATCH])
            crops = torch.from_numpy(part.crops(self.recipe.input_px)).permute(0, 3, 1, 2).float() / 255
            called = network(normalised(crops, self.recipe).to(device)).argmax(1).cpu().numpy()
            right += int((called == part.labels).sum())
        return right / len(self.val)


def normalised(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Images (n, 3, h, w) of 0 to 1 as the network takes them."""
    shape = (1, 3, 1, 1)
    mean, std = (
        torch.tensor(values, dtype=torch.float32).view(shape) for values in (recipe.mean, recipe.std)
    )
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)
