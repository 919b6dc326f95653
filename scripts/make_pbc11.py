"""Make the embedded bundle pbc-11 from the public cells in ``../shared/data``.

    python scripts/make_pbc11.py --data ../shared/data --work /tmp/pbc11

Ten per cent of the training cells are held back for calibration; ``pbc/val`` is only looked at for the
figures on the model card. Finished cycles stay in ``--work``: run it again and it goes on from there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save, save_file

from napari_deepheme import synth
from napari_deepheme.classify.bundle import (
    CARD_FILE,
    EMBEDDED,
    Architecture,
    BundleSpec,
    Conformal,
    Head,
    Member,
    Review,
    SelfTest,
    Training,
    load_bundle,
    save_bundle,
)
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.network import build_network
from napari_deepheme.jobs import drain
from napari_deepheme.stats import calibration
from napari_deepheme.stats.uncertainty import entropy
from napari_deepheme.taxonomy import PBC_11
from napari_deepheme.train.augment import AugmentOptions, augment
from napari_deepheme.train.snapshot import Batch, SnapshotOptions, Weights, make_optimiser, train_cycle

MPP, INPUT_PX, PATCH_PX = 0.25, 96, 144
PBC_MPP, MUNICH_MPP = 0.20, 0.086
ARCHITECTURE = Architecture(name="regnety_002")
BATCH = 64
CODES = PBC_11.codes
HELD_BACK, RISK, CONFIDENCE, COVERAGE = 0.1, 0.1, 0.9, 0.9
MEAN, STD = (0.82, 0.69, 0.70), (0.21, 0.24, 0.12)
DATA = (
    "Acevedo et al. 2020 (Mendeley Data snkd93bnjr), peripheral blood; Matek et al. 2021 "
    "(TCIA 10.7937/TCIA.AXH3-T579), artefacts of marrow smears; cells rendered by napari-deepheme"
)
SPLIT = "by image (no patient ids were released); 10 % of the training cells held back to calibrate"


@dataclass(frozen=True)
class Stage:
    """Cycles trained on the same cells."""

    options: SnapshotOptions
    rendered_per_class: int
    as_jpeg: bool


# after the first stage bands rendered and stored as JPEG, as on the sample slide, passed for segmented cells
STAGES = (
    Stage(SnapshotOptions(cycles=3, epochs=12, rate=2e-3), rendered_per_class=110, as_jpeg=False),
    Stage(SnapshotOptions(cycles=3, epochs=4, rate=1e-3), rendered_per_class=220, as_jpeg=True),
)
MEMBERS = 3
"""The last snapshots make the ensemble (Huang et al. 2017, section 4)."""


@dataclass
class Patches:
    """Cells in the middle of 144 px patches at 0.25 µm/px; ``half`` is half the true image's width."""

    images: NDArray[np.uint8]
    half: NDArray[np.float32]
    labels: NDArray[np.int64]

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Patches:
        """Give the patches at ``index``."""
        return Patches(self.images[index], self.half[index], self.labels[index])

    def crops(self) -> NDArray[np.uint8]:
        """Give the network's windows, the cell in the middle."""
        edge = (PATCH_PX - INPUT_PX) // 2
        return np.ascontiguousarray(self.images[:, edge:-edge, edge:-edge])


def join(parts: list[Patches]) -> Patches:
    return Patches(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("images", "half", "labels")))


def patch(path: Path, centre: tuple[float, float], mpp: float) -> tuple[NDArray[np.uint8], float]:
    """The image rescaled, ``centre`` (x, y as fractions) in the middle, mirrored where it ends."""
    image = Image.open(path).convert("RGB")
    size = tuple(round(side * mpp / MPP) for side in image.size)
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
    x, y = (round(c * s) for c, s in zip(centre, size, strict=True))
    room = min(x, y, size[0] - x, size[1] - y)
    padded = np.pad(pixels, ((PATCH_PX, PATCH_PX), (PATCH_PX, PATCH_PX), (0, 0)), mode="reflect")
    top, left = y + PATCH_PX // 2, x + PATCH_PX // 2
    return padded[top : top + PATCH_PX, left : left + PATCH_PX], min(room, PATCH_PX / 2)


def read_pbc(data: Path, split: str) -> Patches:
    index = pd.read_csv(data / "pbc" / "index.csv")
    rows = index[index["split"] == split]
    found = [patch(data / "pbc" / row.path, (row.box_cx, row.box_cy), PBC_MPP) for row in rows.itertuples()]
    labels = [CODES.index(code) for code in PBC_11.resolve(rows["source_class"])]
    images, half = zip(*found, strict=True)
    return Patches(np.stack(images), np.array(half, np.float32), np.array(labels))


def read_artefacts(data: Path) -> Patches:
    found = [patch(p, (0.5, 0.5), MUNICH_MPP) for p in sorted((data / "munich" / "ART").glob("*.jpg"))]
    images, half = zip(*found, strict=True)
    return Patches(np.stack(images), np.array(half, np.float32), np.full(len(found), CODES.index("U1")))


def stored(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    jpeg = BytesIO()
    Image.fromarray(image).save(jpeg, "JPEG", quality=quality)
    return np.asarray(Image.open(jpeg))


def rendered(per_class: int, seed: int, *, as_jpeg: bool = False) -> Patches:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CODES)), per_class)
    images = [synth.render_patch(CODES[k], rng=rng, mpp=MPP, size_px=PATCH_PX) for k in labels]
    if as_jpeg:
        images = [stored(image, int(rng.integers(70, 95))) for image in images]
    return Patches(np.stack(images), np.full(len(labels), PATCH_PX / 2, np.float32), labels)


def batches(patches: Patches, seed: int, narrow: float) -> Iterator[Batch]:
    """One epoch: classes drawn by the root of their size, some views bounded as narrowly as the artefacts."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    weights = (1 / np.sqrt(np.bincount(patches.labels, minlength=len(CODES))))[patches.labels]
    order = rng.choice(len(patches.labels), len(patches.labels), p=weights / weights.sum())
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    for start in range(0, len(order) - BATCH + 1, BATCH):
        chosen = patches.take(order[start : start + BATCH])
        # the Munich images are narrower than a crop; no class may be told by that
        half = np.where(rng.random(BATCH) < 0.15, np.minimum(chosen.half, narrow), chosen.half)
        views = augment(
            torch.from_numpy(chosen.images).permute(0, 3, 1, 2),
            torch.from_numpy(half.astype(np.float32)),
            INPUT_PX,
            AugmentOptions(),
            generator,
        )
        yield (
            ((views - mean) / std).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(chosen.labels),
        )


def train(real: Patches, work: Path) -> list[Path]:
    """Train the cycles that ``work`` does not hold yet; files of their snapshots."""
    torch.manual_seed(0)
    network = build_network(ARCHITECTURE, len(CODES)).to(memory_format=torch.channels_last)
    files: list[Path] = []
    for stage in STAGES:
        optimiser = make_optimiser(network, stage.options)
        patches: Patches | None = None
        for _ in range(stage.options.cycles):
            file = work / f"cycle-{len(files)}.safetensors"
            files.append(file)
            if file.exists():
                network.load_state_dict(load_file(file))
                continue
            patches = patches or stage_patches(real, stage)
            save_file(train_one(network, optimiser, patches, stage.options, len(files)), file)
    return files


def stage_patches(real: Patches, stage: Stage) -> Patches:
    drawn = rendered(stage.rendered_per_class, seed=1, as_jpeg=stage.as_jpeg)
    kept = np.random.default_rng(1).random(len(drawn.labels)) >= HELD_BACK
    return join([real, drawn.take(kept)])


def train_one(
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    patches: Patches,
    options: SnapshotOptions,
    cycle: int,
) -> Weights:
    """Train one cycle, printing as it goes."""
    narrow = float(patches.half[patches.labels == CODES.index("U1")].min())
    job = train_cycle(
        network,
        optimiser,
        lambda epoch: batches(patches, 1000 * cycle + epoch, narrow),
        len(patches.labels) // BATCH,
        options,
    )
    return drain(job, lambda trace: print(f"cycle {cycle}", trace, flush=True))


@torch.inference_mode()
def predict(network: torch.nn.Module, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    parts = []
    for start in range(0, len(crops), 128):
        images = torch.from_numpy(crops[start : start + 128]).permute(0, 3, 1, 2).float() / 255
        parts.append(
            network(((images - mean) / std).contiguous(memory_format=torch.channels_last)).softmax(1)
        )
    return torch.cat(parts).numpy()


def calibrated(files: list[Path], held: Patches) -> tuple[float, Review, Conformal]:
    """Temperature, review and conformal thresholds from the cells held back."""
    outputs = member_outputs(files, held)
    temperature = calibration.fit_temperature(outputs, held.labels)
    mean = calibration.pool(outputs, temperature)
    right = mean.argmax(1) == held.labels
    threshold = calibration.review_threshold(entropy(mean.astype(np.float64)), right, RISK, CONFIDENCE)
    enters = calibration.conformal_threshold(mean, held.labels, COVERAGE)
    return (
        temperature,
        Review(threshold=threshold, risk=RISK, confidence=CONFIDENCE),
        Conformal(threshold=enters, coverage=COVERAGE),
    )


def member_outputs(files: list[Path], patches: Patches) -> NDArray[np.float32]:
    """Probabilities (m, n, k) of the members as the bundle will hold them: float16 weights."""
    outputs = []
    for file in files:
        network = build_network(ARCHITECTURE, len(CODES)).to(memory_format=torch.channels_last).eval()
        weights = load_file(file).items()
        network.load_state_dict({name: value.half().to(value.dtype) for name, value in weights})
        outputs.append(predict(network, patches.crops()))
    return np.stack(outputs)


def measured(files: list[Path], temperature: float, patches: Patches) -> dict[str, float]:
    """Figures on one set of cells."""
    outputs = member_outputs(files, patches)
    mean = calibration.pool(outputs, temperature)
    ranks = np.argsort(-mean, axis=1)[:, :2]
    members = {
        f"accuracy of member {i}": float((member.argmax(1) == patches.labels).mean())
        for i, member in enumerate(outputs)
    }
    return {
        "cells": float(len(patches.labels)),
        "accuracy": float((ranks[:, 0] == patches.labels).mean()),
        "top-2 accuracy": float((ranks == patches.labels[:, None]).any(1).mean()),
        "expected calibration error": calibration.expected_calibration_error(mean, patches.labels),
        **members,
    }


def member_files(files: list[Path]) -> dict[str, bytes]:
    """The members as a bundle holds them: float16 safetensors by file name."""
    return {
        f"member-{i}.safetensors": save(
            {k: v.half() if v.is_floating_point() else v for k, v in load_file(file).items()}
        )
        for i, file in enumerate(files)
    }


def self_test(files: list[Path], temperature: float) -> tuple[bytes, SelfTest]:
    """A rendered segmented neutrophil as PNG, and what the members say of it."""
    one = rendered(1, seed=99).take(np.array([CODES.index("M6")]))
    png = BytesIO()
    Image.fromarray(one.crops()[0]).save(png, "PNG")
    expected = calibration.pool(member_outputs(files, one), temperature)[0]
    digest = sha256(png.getvalue()).hexdigest()
    return png.getvalue(), SelfTest(image="self-test.png", sha256=digest, expected=tuple(expected.tolist()))


def write(folder: Path, files: list[Path], held: Patches, val: Patches) -> None:
    """Calibrate, measure and write the bundle with its model card."""
    temperature, review, conformal = calibrated(files, held)
    metrics = measured(files, temperature, val)
    members = member_files(files)
    image, test = self_test(files, temperature)
    spec = BundleSpec(
        name="pbc-11",
        version="1",
        architecture=ARCHITECTURE,
        head=Head.SOFTMAX,
        input_px=INPUT_PX,
        mpp=MPP,
        mean=MEAN,
        std=STD,
        taxonomy=PBC_11,
        members=tuple(
            Member(file=name, sha256=sha256(content).hexdigest(), cycle=i)
            for i, (name, content) in enumerate(members.items())
        ),
        temperature=temperature,
        review=review,
        conformal=conformal,
        training=Training(data=DATA, licence="CC BY 4.0 (both public sets)", split=SPLIT, metrics=metrics),
        licence="CC BY 4.0",
        self_test=test,
    )
    figures = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
    card = (Path(__file__).parent / "pbc11_card.md").read_text(encoding="utf-8").replace("{figures}", figures)
    save_bundle(folder, spec, members | {test.image: image, CARD_FILE: card.encode()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=EMBEDDED / "pbc-11")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)

    real = join([read_pbc(arguments.data, "train"), read_artefacts(arguments.data)])
    back = np.random.default_rng(0).random(len(real.labels)) < HELD_BACK
    files = train(real.take(~back), arguments.work)[-MEMBERS:]
    write(arguments.out, files, real.take(back), read_pbc(arguments.data, "val"))
    bundle = load_bundle(arguments.out)
    Ensemble(bundle)  # the self-test
    print(bundle.spec.model_dump_json(indent=2, exclude={"taxonomy", "members"}))


if __name__ == "__main__":
    main()
