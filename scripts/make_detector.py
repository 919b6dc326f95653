"""Make the embedded detector ``marrow-cells`` from the public fields and cells in ``../shared/data``.

    python scripts/make_detector.py --work /tmp/detector

A fifth of the fields of BCCD and TXL-PBC is held back, with every picture like them; so is whatever shows a
cell of ``pbc/val``. Run it again and it goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tomli_w

from napari_deepheme import synth
from napari_deepheme.bundle import EMBEDDED
from napari_deepheme.device import Device
from napari_deepheme.jobs import Progress, drain
from napari_deepheme.train.detector import held_back
from napari_deepheme.train.detector_bundle import DetectorFacts, make_detector
from napari_deepheme.train.duplicates import duplicate_groups, read_thumbnails
from napari_deepheme.train.fields import MarkedField, Marks, read_fields, read_marks
from napari_deepheme.train.heatmap import DetectorRecipe, learn, network_weights

PBC_MPP, BCCD_MPP, RED_CELL_UM = 0.20, 0.07, 7.2
SINGLE_CELLS, FIELD_TIMES, RENDERED = 2400, 4, 24
DATA = (
    "Single blood cells of Acevedo et al. 2020 (Data in Brief, Mendeley Data snkd93bnjr, CC BY 4.0; boxes by "
    "medmabcf), fields of BCCD (Shenggan/BCCD_Dataset, MIT) and TXL-PBC (lugan113/TXL-PBC_Dataset, MIT), "
    "smears rendered by napari-deepheme"
)
NOTES = (
    "No field of bone marrow was learned from: crowding, fat and particles are composed.",
    "Megakaryocytes and osteoclasts were not among the cells; they may be missed, or found several times.",
)


def pbc_marks(data: Path, split: str) -> list[Marks]:
    index = pd.read_csv(data / "pbc" / "index.csv")
    side, marks = 180, []
    for row in index[index["split"] == split].itertuples():
        box = np.array([[row.box_cy, row.box_cx, row.box_h, row.box_w]], np.float32) * side
        box[:, :2] -= 0.5
        marks.append(Marks(data / "pbc" / row.path, box, np.zeros((0, 4), np.float32), PBC_MPP))
    return marks


def txl_marks(data: Path) -> list[Marks]:
    """The scale of each field from its red cells."""
    marks = []
    for each in read_marks(data / "fields" / "txl_pbc" / "boxes.csv", None):
        whole = each.others[np.isfinite(each.others).all(axis=1)]
        size = float(np.percentile(np.sqrt(whole[:, 2:].prod(axis=1)), 60)) if len(whole) else 0.0
        if size:
            marks.append(Marks(each.path, each.cells, each.others, max(0.05, RED_CELL_UM / size)))
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
        marks.append(Marks(path, boxes, np.zeros((0, 4), np.float32), 0.4))
    return marks


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


def learned_fields(data: Path, fields: Sequence[Marks], work: Path) -> list[MarkedField]:
    singles = pbc_marks(data, "train")
    singles = [singles[i] for i in np.linspace(0, len(singles) - 1, SINGLE_CELLS).astype(int)]
    single, field, smear = (
        drain(read_fields(marks), show) for marks in (singles, fields, rendered_marks(work))
    )
    return single + field * FIELD_TIMES + smear * FIELD_TIMES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=DetectorRecipe().steps)
    parser.add_argument("--start", default="scratch")
    parser.add_argument("--out", type=Path, default=EMBEDDED / "marrow-cells")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    learned, held = field_of_view_split(arguments.data)
    fields = learned_fields(arguments.data, learned, arguments.work)
    recipe = DetectorRecipe(steps=arguments.steps, start=arguments.start)
    network = drain(learn(fields, recipe, arguments.work / "training", (0, Device.AUTO)), show)
    facts = DetectorFacts(
        name="marrow-cells",
        version="1",
        data=DATA,
        licence="CC BY 4.0",
        split=f"by image: {SINGLE_CELLS} single cells and {len(learned)} fields to learn from, "
        f"{len(held)} fields held back",
        notes=NOTES,
        record=tomli_w.dumps({"steps": arguments.steps, "start": Path(arguments.start).name}),
    )
    kept = drain(read_fields(held), show)
    bundle = make_detector(network_weights(network), recipe, kept, facts, arguments.out)
    print(bundle.card)


if __name__ == "__main__":
    main()
