"""Raw outputs of a model on cells of home and of other laboratories, kept in a file for other benchmarks.

python -m benchmarks.raw_outputs OUT.npz [MODEL] [DATA]      DATA is ../shared/data
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.transfer import COARSE, Model, crops, home, seen
from napari_deepheme import AnalysisOptions, analyse, drain, load_bundle, open_slide, synth
from napari_deepheme.stats.assessment import calibrated

SLIDES = {
    "home slide": ("slides/mosaic/blood_40x.svs", None),
    "histology CMU": ("slides/real/CMU-1-Small-Region.svs", None),
    "histology TCGA": ("slides/real/tcga-no-mpp-jpeg2000.svs", 0.25),
    "histology InstanSeg": ("slides/real/HE_example.ome.tif", None),
}
SMEARS = 4


def whole(data: Path, work: Path, model: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, probabilities and distances of slides run as a person would, the class prior left as learned."""
    bundle = load_bundle(model)
    options = AnalysisOptions(target_cells=1000)
    slides = {name: (data / path, mpp) for name, (path, mpp) in SLIDES.items()}
    for seed in range(SMEARS):
        path = work / f"smear-{seed}.svs"
        drain(synth.write_smear(path, synth.SmearSpec(shape=(3000, 3000), n_cells=300, seed=100 + seed)))
        slides[f"synthetic laboratory {seed}"] = (path, 0.25)
    for name, (path, mpp) in slides.items():
        with open_slide(path, mpp=mpp) as slide:
            found = drain(analyse(slide, bundle, options)).counting().raw
        yield name, calibrated(found, bundle.spec.calibration), found.distance


def bccd(data: Path, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Crops and indices into COARSE of the cells of another laboratory."""
    folder = data / "fields" / "bccd"
    boxes = pd.read_csv(folder / "boxes.csv").query("label == 'WBC'").copy()
    boxes["area"] = (boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])
    classes = pd.read_csv(folder / "classes.csv").set_index("image")["class"]
    cells = boxes.sort_values("area").groupby("image").last().loc[classes.index]
    middle = (cells[["ymin", "xmin"]].to_numpy() + cells[["ymax", "xmax"]].to_numpy()) / 2
    rows = [(folder / name, *yx) for name, yx in zip(classes.index, middle, strict=True)]
    return crops(rows, 0.07, model.spec), np.array([list(COARSE).index(name) for name in classes])


def segpc(data: Path, model: Model) -> np.ndarray:
    """Crops of plasma cells of a third laboratory."""
    folder = data / "fields" / "segpc_eval_only"
    cells = pd.read_csv(folder / "plasma_cells.csv")
    middle = (cells[["ymin", "xmin"]].to_numpy() + cells[["ymax", "xmax"]].to_numpy()) / 2
    rows = [(folder / name, *yx) for name, yx in zip(cells["image"], middle, strict=True)]
    return crops(rows, 0.20, model.spec)


def main() -> None:
    out = Path(sys.argv[1])
    name = sys.argv[2] if len(sys.argv) > 2 else "pbc-11"
    data = Path(sys.argv[3] if len(sys.argv) > 3 else "../shared/data")
    model, kept = Model(load_bundle(name)), {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cells = home(data, model, work)
        images, truth = bccd(data, model)
        kept |= {"truth/home": cells.labels, "truth/bccd": truth}
        sets = {"home": cells.crops(model.spec.input_px), "bccd": images, "segpc": segpc(data, model)}
        for each, crops_of in sets.items():
            found = seen(model, crops_of, model.spec.match_stain)
            kept |= {f"probabilities/{each}": found.mean, f"distance/{each}": found.raw.distance}
        for each, probabilities, distance in whole(data, work, name):
            kept |= {f"probabilities/{each}": probabilities, f"distance/{each}": distance}
            print(each, len(distance), flush=True)
    np.savez(out, **kept)


if __name__ == "__main__":
    main()
