"""Make the embedded detector ``marrow-cells`` from the public fields and cells in ``../shared/data``.

    python scripts/make_detector.py --work /tmp/detector

A fifth of the fields of BCCD and TXL-PBC is held back, with every picture like them; so is whatever shows a
cell of ``pbc/val``. Run it again and it goes on.

Version 2 is the mean of the weights of version 1 (commit c100fa9) and of what became of them in two further
trainings with artefacts, of 1,500 steps each; the second started from such a mean, too. A mean keeps what was
known before (Wortsman et al. 2022, arXiv:2109.01903).

Version 3 was trained on from version 2 (``--start`` its member-0.safetensors ``--steps 800 --rate 1e-3``)
with fields of Chula RBC-12 that hold no white cell, small rendered smears whose red cells have any hue, and
cells and fields painted in the colours of other smears.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import tomli_w
import torch
from numpy.typing import NDArray
from safetensors.torch import load, load_file, save

from napari_deepheme import synth
from napari_deepheme.classify.stain import stain_colours
from napari_deepheme.datasets.duplicates import duplicate_groups, read_thumbnails
from napari_deepheme.datasets.fields import NOTHING, MarkedField, Marks, read_fields, read_marks
from napari_deepheme.detect.white import white_of
from napari_deepheme.jobs import Progress, drain
from napari_deepheme.models.bundle import EMBEDDED
from napari_deepheme.models.device import Device
from napari_deepheme.synth.stain import REFERENCE_LIGHT
from napari_deepheme.train.detector import held_back
from napari_deepheme.train.detector_bundle import DetectorFacts, make_detector
from napari_deepheme.train.heatmap import DetectorRecipe, learn, network_weights
from napari_deepheme.train.painting import Painter, smear_colours

PBC_MPP, BCCD_MPP, RED_CELL_UM = 0.20, 0.07, 7.2
SINGLE_CELLS, FIELD_TIMES, RENDERED, NOTHING_TIMES = 1200, 2, 24, 3
ARTEFACT_MPP, ARTEFACT_PX, MIDDLE_PX = 0.086, 250, 140
CHULA_MPP, CHULA_HELD_BACK = 0.185, 5
# fields of Chula RBC-12 with a white cell, or what may be one
WITH_WHITE_CELL = frozenset(
    f"{number}.jpg" for number in (46, 100, 391, 427, 481, 496, 499, 523, 526, 532, 538, 682)
)
ODD_SMEARS, ODD_TIMES, PAINTED_SINGLES, PAINTED_CROP_PX = 600, 3, 3, 64
# of the odd smears' red cells: absorbance of red and of blue light relative to green, and of all three
RED_TO_GREEN, BLUE_TO_GREEN, RED_CELL_DEPTH = (0.35, 2.0), (0.15, 1.9), (0.6, 2.4)
DATA = (
    "Single blood cells of Acevedo et al. 2020 (Data in Brief, Mendeley Data snkd93bnjr, CC BY 4.0; boxes by "
    "medmabcf), fields of BCCD (Shenggan/BCCD_Dataset, MIT) and TXL-PBC (lugan113/TXL-PBC_Dataset, MIT), "
    "artefacts of marrow smears of Matek et al. 2021 (Blood 138:1917, "
    "TCIA 10.7937/TCIA.AXH3-T579, CC BY 4.0), red cells of Chula RBC-12 (Chula-PIC-Lab/Chula-RBC-12-Dataset, "
    "MIT), smears rendered by napari-deepheme"
)
NOTES = (
    "No cell of bone marrow was learned from, only artefacts: crowding, fat and particles are composed.",
    "Bare and smudged nuclei may be found or left; nobody said in the artefacts whether they are cells.",
    "Megakaryocytes and osteoclasts were not among the cells; they may be missed, or found several times.",
)


def pbc_marks(data: Path, split: str) -> list[Marks]:
    index = pd.read_csv(data / "pbc" / "index.csv")
    side, marks = 180, []
    for row in index[index["split"] == split].itertuples():
        box = np.array([[row.box_cy, row.box_cx, row.box_h, row.box_w]], np.float32) * side
        box[:, :2] -= 0.5
        marks.append(Marks(data / "pbc" / row.path, box, NOTHING, NOTHING, PBC_MPP))
    return marks


def txl_marks(data: Path) -> list[Marks]:
    """The scale of each field from its red cells."""
    marks = []
    for each in read_marks(data / "fields" / "txl_pbc" / "boxes.csv", None):
        whole = each.others[np.isfinite(each.others).all(axis=1)]
        size = float(np.percentile(np.sqrt(whole[:, 2:].prod(axis=1)), 60)) if len(whole) else 0.0
        if size:
            marks.append(replace(each, mpp=max(0.05, RED_CELL_UM / size)))
    return marks


def rendered_marks(work: Path) -> list[Marks]:
    marks = []
    for seed in range(RENDERED):
        path = work / f"smear-{seed}.tif"
        spec = synth.SmearSpec(
            shape=(640, 640), n_cells=60, seed=1000 + seed, mpp=0.4, clustered=0.7 * (seed % 2)
        )
        truth = drain(synth.write_smear(path, spec))
        boxes = truth[["y_px", "x_px", "height_px", "width_px"]].to_numpy(np.float32)
        marks.append(Marks(path, boxes, NOTHING, NOTHING, 0.4))
    return marks


def odd_smears(work: Path) -> list[Marks]:
    """Small rendered smears, each with glass of a smear of Chula RBC-12 and red cells of any hue."""
    marks = []
    for seed in range(ODD_SMEARS):
        path = work / f"odd-{seed}.tif"
        spec = synth.SmearSpec(
            shape=(240, 240),
            n_cells=7,
            seed=20_000 + seed,
            mpp=0.4,
            stain=odd_stain(seed),
            clustered=0.6 * (seed % 2),
        )
        truth = drain(synth.write_smear(path, spec))
        boxes = truth[["y_px", "x_px", "height_px", "width_px"]].to_numpy(np.float32)
        marks.append(Marks(path, boxes, NOTHING, NOTHING, 0.4))
    return marks


def odd_stain(seed: int) -> synth.Stain:
    rng = np.random.default_rng([seed, 17])
    glass = rng.choice(smear_colours())[0]
    ratio = np.exp([rng.uniform(*np.log(RED_TO_GREEN)), 0.0, rng.uniform(*np.log(BLUE_TO_GREEN))])
    density = ratio / ratio.sum() * np.exp(rng.uniform(*np.log(RED_CELL_DEPTH)))
    stain = synth.Stain.random(rng)
    return replace(
        stain,
        light=tuple(256 * np.exp(-glass)),
        red_cell=tuple(np.array(REFERENCE_LIGHT) * np.exp(-density)),
        basic=tuple(np.array(stain.basic) * np.exp(rng.normal(-0.1, 0.2) + rng.normal(0, 0.08, 3))),
    )


def red_cell_marks(data: Path) -> list[Marks]:
    """Four fifths of the fields of Chula RBC-12, without those that show a white cell."""
    files = sorted((data / "fields" / "chula_rbc").glob("*.jpg"))
    learned = [file for n, file in enumerate(files) if n % CHULA_HELD_BACK]
    return [
        Marks(file, NOTHING, NOTHING, NOTHING, CHULA_MPP)
        for file in learned
        if file.name not in WITH_WHITE_CELL
    ]


def painted(fields: Sequence[MarkedField]) -> list[MarkedField]:
    """Fields in the colours of other smears; those whose own colours cannot be told are left out."""
    rng, result = np.random.default_rng(29), []
    half = PAINTED_CROP_PX // 2
    for field in fields:
        wide = np.pad(field.image, ((half, half), (half, half), (0, 0)), mode="edge")
        corners = field.cells[:, :2].round().astype(int).clip(0, np.array(field.image.shape[:2]) - 1)
        crops = [wide[y : y + 2 * half, x : x + 2 * half] for y, x in corners]
        own = stain_colours(np.stack(crops)) if crops else None
        if own is None:
            continue
        pixels = torch.tensor(field.image).permute(2, 0, 1)[None].float() / 255
        image = (Painter(own).painted(pixels, rng)[0] * 255).byte().permute(1, 2, 0).numpy()
        result.append(replace(field, image=image, white=white_of([image])))
    return result


def artefact_split(data: Path) -> tuple[list[Marks], list[Marks]]:
    """Artefacts of marrow to learn from, and a fifth held back.

    In the middle of some a developer saw no nucleus. The others are mostly bare or smudged nuclei, of which
    nobody said whether they are cells; nor of what lies around the middle.
    """
    files = sorted((data / "munich" / "ART").glob("*.jpg"))
    thumbnails = drain(read_thumbnails(files))
    back = held_back(duplicate_groups(thumbnails.pixels), seed=0)
    split: tuple[list[Marks], list[Marks]] = [], []
    for i, held in zip(thumbnails.kept, back, strict=True):
        unsure = around_the_middle() if files[i].name in without_nucleus() else everywhere()
        split[int(held)].append(Marks(files[i], NOTHING, NOTHING, unsure, ARTEFACT_MPP))
    return split


@cache
def without_nucleus() -> frozenset[str]:
    return frozenset(pd.read_csv(Path(__file__).with_name("munich_without_nucleus.csv"))["image"])


def everywhere() -> NDArray[np.float32]:
    middle = (ARTEFACT_PX - 1) / 2
    return np.array([[middle, middle, ARTEFACT_PX, ARTEFACT_PX]], np.float32)


def around_the_middle() -> NDArray[np.float32]:
    """Strips at the top, bottom, left and right of an artefact's picture."""
    rim = (ARTEFACT_PX - MIDDLE_PX) / 2
    middle, low, high = (ARTEFACT_PX - 1) / 2, (rim - 1) / 2, ARTEFACT_PX - (rim + 1) / 2
    wide = [[y, middle, rim, ARTEFACT_PX] for y in (low, high)]
    tall = [[middle, x, ARTEFACT_PX, rim] for x in (low, high)]
    return np.array(wide + tall, np.float32)


def field_of_view_split(data: Path) -> tuple[list[Marks], list[Marks]]:
    """Fields of BCCD and TXL-PBC to learn from, and those held back."""
    fields = read_marks(data / "fields" / "bccd" / "boxes.csv", BCCD_MPP) + txl_marks(data)
    others = pbc_marks(data, "val")
    thumbnails = drain(read_thumbnails([mark.path for mark in fields + others]))
    groups = duplicate_groups(thumbnails.pixels)
    shown = np.array(thumbnails.kept)
    own = shown < len(fields)
    back = held_back(groups[own], seed=0) | np.isin(groups[own], groups[~own])
    kept = [fields[i] for i in shown[own]]
    return (
        [mark for mark, held in zip(kept, back, strict=True) if not held],
        [mark for mark, held in zip(kept, back, strict=True) if held],
    )


def show(progress: Progress) -> None:
    if progress.total and progress.done % 100 == 0:
        print(progress.stage, progress.done, "of", progress.total, progress.message, flush=True)


def learned_fields(
    data: Path, fields: Sequence[Marks], artefacts: Sequence[Marks], work: Path
) -> list[MarkedField]:
    singles = pbc_marks(data, "train")
    singles = [singles[i] for i in np.linspace(0, len(singles) - 1, SINGLE_CELLS).astype(int)]
    nothing = [mark for mark in artefacts if mark.path.name in without_nucleus()]
    smears = rendered_marks(work), odd_smears(work)
    marked = singles, fields, *smears, red_cell_marks(data), [*artefacts, *nothing * (NOTHING_TIMES - 1)]
    single, field, smear, odd, red_cells, artefact = (drain(read_fields(marks), show) for marks in marked)
    other_colours = painted(single[::PAINTED_SINGLES] + field)
    thin = (field + smear + red_cells) * FIELD_TIMES
    return single + other_colours + thin + odd * ODD_TIMES + artefact


def blended(weights: bytes, with_file: Path) -> bytes:
    """The mean of two sets of weights, float16."""
    own, other = load(weights), load_file(with_file)
    return save({k: torch.lerp(own[k].float(), other[k].float(), 0.5).to(own[k].dtype) for k in own})


def came_from(arguments: argparse.Namespace) -> dict[str, str]:
    files = {"start": arguments.start, "blend": arguments.blend or ""}
    return {name: Path(file).name for name, file in files.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=DetectorRecipe().steps)
    parser.add_argument("--start", default="scratch")
    parser.add_argument("--rate", type=float, default=DetectorRecipe().rate)
    parser.add_argument("--blend", type=Path, help="weights to take the mean with, when all is learned")
    parser.add_argument("--out", type=Path, default=EMBEDDED / "marrow-cells")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    learned, held = field_of_view_split(arguments.data)
    artefacts, _ = artefact_split(arguments.data)
    fields = learned_fields(arguments.data, learned, artefacts, arguments.work)
    recipe = DetectorRecipe(steps=arguments.steps, start=arguments.start, rate=arguments.rate)
    network = drain(learn(fields, recipe, arguments.work / "training", (0, Device.AUTO)), show)
    facts = DetectorFacts(
        name="marrow-cells",
        version="3",
        data=DATA,
        licence="CC BY 4.0",
        split=f"by image: {SINGLE_CELLS} single cells, {len(learned)} fields and {len(artefacts)} artefacts "
        f"to learn from, {len(held)} fields held back",
        notes=NOTES,
        record=tomli_w.dumps({"steps": arguments.steps, "rate": arguments.rate} | came_from(arguments)),
    )
    kept = drain(read_fields(held), show)
    weights = network_weights(network)
    if arguments.blend:
        weights = blended(weights, arguments.blend)
    bundle = make_detector(weights, recipe, kept, facts, arguments.out)
    print(bundle.card)


if __name__ == "__main__":
    main()
