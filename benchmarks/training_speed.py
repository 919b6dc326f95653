"""Images a second in training, as a ratio to the forward pass alone in the same run.

python -m benchmarks.training_speed [RECIPE …]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from napari_deepheme.jobs import drain
from napari_deepheme.taxonomy import read_taxonomy
from napari_deepheme.train.patches import Patches, patch_px
from napari_deepheme.train.recipe import read_recipe
from napari_deepheme.train.sampling import Sampler
from napari_deepheme.train.snapshot import train_snapshots
from napari_deepheme.train.start import starting_network

BATCHES = 6


def main() -> None:
    for name in sys.argv[1:] or ("small", "deepheme"):
        recipe = read_recipe(name).model_copy(
            update={"cycles": 1, "epochs": 1, "start": "scratch", "batch_size": 64}
        )
        classes = len(read_taxonomy(recipe.taxonomy).classes)
        n, side = BATCHES * recipe.batch_size, patch_px(recipe.input_px)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 255, (n, side, side, 3), np.uint8)
        boxes = np.full((n, 2), 60, np.float32)
        cells = Patches(images, rng.integers(0, classes, n), boxes, np.ones(n, bool))
        everything = np.arange(n)
        sampler = Sampler(cells, (everything, everything[:8]), recipe, seed=0)
        network = starting_network(recipe, classes, torch.device("cpu"))
        first = next(sampler.batches(0))[0]

        start = time.perf_counter()
        for _ in sampler.batches(0):
            pass
        views = time.perf_counter() - start
        start = time.perf_counter()
        with torch.inference_mode():
            for _ in range(BATCHES):
                network.eval()(first)
        forward = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as work:
            start = time.perf_counter()
            drain(train_snapshots(network, sampler, recipe, Path(work), seed=0))
            training = time.perf_counter() - start
        print(f"{name} ({recipe.architecture.name}), {torch.get_num_threads()} threads")
        for what, seconds in (("forward (reference)", forward), ("views", views), ("training", training)):
            print(f"  {what:20} {n / seconds:7.0f} images/s   {seconds / forward:5.2f} × reference")


if __name__ == "__main__":
    main()
