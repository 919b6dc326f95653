"""How a model fares in other laboratories: real ones, synthetic ones, and with cells it never saw.

python -m benchmarks.transfer [MODEL] [DATA]      DATA is ../shared/data
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.laboratories import SEEDS, laboratory
from napari_deepheme import load_bundle, open_slide
from napari_deepheme.cells import RawOutputs
from napari_deepheme.classify.bundle import Bundle, BundleSpec
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.stain import StainColours, StainMatching, stain_colours
from napari_deepheme.datasets.dataset import Box, TrainingImage
from napari_deepheme.jobs import drain
from napari_deepheme.stats.assessment import assess, calibrated
from napari_deepheme.stats.calibration import expected_calibration_error
from napari_deepheme.stats.metrics import auroc
from napari_deepheme.stats.prior import class_prior, with_prior
from napari_deepheme.train.augment import ViewOptions
from napari_deepheme.train.mixing import Mixer
from napari_deepheme.train.patches import Patches, read_patches

COARSE = {
    "NEUTROPHIL": ("M5", "M6"),
    "EOSINOPHIL": ("E4",),
    "BASOPHIL": ("B2",),
    "LYMPHOCYTE": ("L2",),
    "MONOCYTE": ("MO2",),
}
# percent of the cells; the first three roughly as in a textbook
MIXTURES = {
    "normal blood": {"M6": 60, "M5": 4, "L2": 26, "MO2": 6, "E4": 3, "B2": 1},
    "left shift": {"M6": 45, "M5": 20, "M4": 5, "M3": 4, "M2": 1, "L2": 15, "MO2": 7, "E4": 2, "B2": 1},
    "marrow": {
        "M6": 18,
        "M5": 12,
        "M4": 14,
        "M3": 12,
        "M2": 5,
        "EBO": 22,
        "L2": 11,
        "MO2": 2,
        "E4": 3,
        "B2": 1,
    },
    "even": dict.fromkeys(("M6", "M5", "M4", "M3", "M2", "EBO", "L2", "MO2", "E4", "B2"), 10),
}
FIGURES = "right", "miscounted", "of rare classes right"
SLIDES, SAMPLE_CELLS, COUNTED, RARE = 20, 256, 500, 0.05
GREY = 12  # the two backgrounds of the set: in one red is hardly brighter than blue
EVERY = 10  # of the cells of pbc/val are shown in the synthetic laboratories


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a model says of cells: probabilities (n, k) under the training prior, and raw outputs."""

    mean: np.ndarray
    raw: RawOutputs

    @property
    def members(self) -> np.ndarray:
        """Of each member, (m, n, k)."""
        return self.raw.members


class Model:
    """A bundle ready to predict."""

    def __init__(self, bundle: Bundle) -> None:
        self.spec, self._ensemble = bundle.spec, Ensemble(bundle)

    def predict(
        self,
        images: np.ndarray,
        stain: StainColours | None = None,
        matching: StainMatching = StainMatching.ALL,
    ) -> Found:
        """Cells of one slide, whose stain is matched in these views if it is given."""
        raw = self._ensemble.matching(matching).run(images, stain)
        return Found(calibrated(raw, self.spec.calibration), raw)


def crops(rows: Iterable[tuple[Path, float, float]], mpp: float, spec: BundleSpec) -> np.ndarray:
    found = []
    for path, y, x in rows:
        with open_slide(path, mpp=mpp) as field:
            found.append(field.read((y, x), (spec.input_px, spec.input_px), spec.mpp))
    return np.stack(found)


def home(data: Path, model: Model, work: Path) -> Patches:
    index, spec = pd.read_csv(data / "pbc" / "index.csv"), model.spec
    images = [
        TrainingImage(
            data / "pbc" / row.path,
            row.source_class,
            spec.taxonomy.resolve([row.source_class])[0],
            box=Box(row.box_cx, row.box_cy, row.box_w, row.box_h),
        )
        for row in index[index["split"] == "val"].itertuples()
    ]
    return drain(read_patches(images, spec.taxonomy, 0.20, (spec.input_px, spec.mpp), work))


def show(name: str, right: np.ndarray, more: str = "") -> None:
    print(f"{name:46} {right.mean():.3f}  ({len(right)} cells) {more}")


def backgrounds(model: Model, cells: Patches) -> Found:
    px = model.spec.input_px
    plain = cells.crops(px)
    found = model.predict(plain)
    right = found.mean.argmax(1) == cells.labels
    best = max((m.argmax(1) == cells.labels).mean() for m in found.members)
    ece = expected_calibration_error(found.mean, cells.labels)
    show("pbc/val", right, f"best member {best:.3f}, ECE {ece:.3f}")
    glass = np.quantile(plain.reshape(len(plain), -1, 3), 0.9, axis=1)
    grey = glass[:, 0] - glass[:, 2] < GREY
    show("  on the peach background", right[~grey])
    show("  on the grey background", right[grey])
    everything = np.arange(len(cells))
    mixer = Mixer(cells, everything, px)
    options = ViewOptions(recoloured=0, tinted=0, moved=1, contracted=0)
    swapped = mixer.mixed(everything, options, np.random.default_rng(0)).permute(0, 2, 3, 1).numpy() * 255
    masked = cells.images.astype(np.float32)
    y, x = np.mgrid[: masked.shape[1], : masked.shape[1]] - (masked.shape[1] - 1) / 2
    for i, (height, width) in enumerate(cells.boxes):
        masked[i, np.hypot(y / (height / 2 + 3), x / (width / 2 + 3)) > 1] = glass[i]
    for name, images in (("masked", masked), ("swapped", swapped)):
        other = Patches(images.round().astype(np.uint8), cells.labels, cells.boxes, cells.in_source)
        show(f"  background {name}", model.predict(other.crops(px)).mean.argmax(1) == cells.labels)
    return found


def drawn(labels: np.ndarray, shares: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """About n cells, each class as often as its share says."""
    numbers = rng.poisson(shares * n)
    return np.concatenate([rng.choice(np.flatnonzero(labels == k), m) for k, m in enumerate(numbers) if m])


def mixtures(found: Found, labels: np.ndarray, spec: BundleSpec) -> None:
    """Counts of slides whose cells are mixed as in nature, composed of cells the model never saw."""
    learned, codes = np.array(spec.class_prior), spec.taxonomy.codes
    rng = np.random.default_rng(0)
    for name, percent in MIXTURES.items():
        shares = np.array([percent.get(code, 0) for code in codes]) / 100
        figures = []
        for _ in range(SLIDES):
            mixture = class_prior(found.mean[drawn(labels, shares, SAMPLE_CELLS, rng)], learned)
            index = drawn(labels, shares, COUNTED, rng)
            truth = labels[index]
            rare = shares[truth] <= RARE
            for said in (found.mean[index], with_prior(found.mean[index], mixture, learned)):
                call = said.argmax(1)
                counts = [np.bincount(each, minlength=len(codes)) for each in (call, truth)]
                wrong = np.abs(counts[0] - counts[1]).sum() / 2 / len(truth)
                figures += [(call == truth).mean(), wrong, (call == truth)[rare].mean() if rare.any() else 1]
        before, after = np.mean(np.reshape(figures, (SLIDES, 2, 3)), axis=0)
        for what, one, other in zip(FIGURES, before, after, strict=True):
            print(f"{name}, {what}: {one:.3f} under the training prior, {other:.3f} under its own")


def elsewhere(data: Path, model: Model) -> Found:
    folder, codes = data / "fields" / "bccd", model.spec.taxonomy.codes
    boxes = pd.read_csv(folder / "boxes.csv").query("label == 'WBC'").copy()
    boxes["area"] = (boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])
    largest = boxes.sort_values("area").groupby("image").last()
    classes = pd.read_csv(folder / "classes.csv").set_index("image")["class"]
    cells = largest.loc[classes.index]
    middle = (cells[["ymin", "xmin"]].to_numpy() + cells[["ymax", "xmax"]].to_numpy()) / 2
    rows = [(folder / name, *yx) for name, yx in zip(classes.index, middle, strict=True)]
    images = crops(rows, 0.07, model.spec)
    groups = [[codes.index(code) for code in group] for group in COARSE.values()]
    truth = np.array([list(COARSE).index(name) for name in classes])
    for matching in StainMatching:
        found = seen(model, images, matching)
        # the coarse class with the most probability, and that of the call: neutrophils may be myelocytes
        coarse = in_groups(found.mean, groups)
        called = in_groups(np.eye(len(codes))[found.mean.argmax(1)], groups).argmax(1)
        ece = expected_calibration_error(coarse, truth)
        recall = ", ".join(
            f"{n[:3]} {np.mean(coarse[truth == i].argmax(1) == i):.2f}" for i, n in enumerate(COARSE)
        )
        more = f"by single calls {np.mean(called == truth):.3f}, ECE {ece:.3f}; {recall}"
        show(f"fields/bccd, stain {matching.words}", coarse.argmax(1) == truth, more)
    learned = np.array(model.spec.class_prior)
    found = seen(model, images, model.spec.match_stain)
    mixed = with_prior(found.mean, class_prior(found.mean, learned), learned)
    show("fields/bccd, class prior matched, too", in_groups(mixed, groups).argmax(1) == truth)
    return found


def seen(model: Model, images: np.ndarray, matching: StainMatching) -> Found:
    """The cells of one slide, its stain matched in these views."""
    return model.predict(images, stain_colours(images), matching)


def synthetic(model: Model, cells: Patches) -> None:
    """Cells of ``pbc/val`` as five synthetic laboratories show them."""
    some = cells.take(np.arange(0, len(cells), EVERY))
    source = some.crops(model.spec.input_px)
    shown = [laboratory(seed).crops(source) for seed in SEEDS]
    for matching in StainMatching:
        found = [seen(model, images, matching).mean for images in shown]
        right = np.stack([each.argmax(1) == some.labels for each in found])
        each = ", ".join(
            f"{r.mean():.3f} (ECE {expected_calibration_error(f, some.labels):.3f})"
            for r, f in zip(right, found, strict=True)
        )
        show(f"synthetic laboratories, stain {matching.words}", right.ravel(), each)


def in_groups(probabilities: np.ndarray, groups: list[list[int]]) -> np.ndarray:
    """Of each coarse class, shape (n, 6); the last: none of the five."""
    coarse = np.stack([probabilities[:, group].sum(1) for group in groups], axis=1)
    return np.column_stack([coarse, 1 - coarse.sum(1)])


def unseen(data: Path, model: Model) -> Found:
    folder = data / "fields" / "segpc_eval_only"
    cells = pd.read_csv(folder / "plasma_cells.csv")
    middle = (cells[["ymin", "xmin"]].to_numpy() + cells[["ymax", "xmax"]].to_numpy()) / 2
    rows = [(folder / name, *yx) for name, yx in zip(cells["image"], middle, strict=True)]
    images = crops(rows, 0.20, model.spec)
    return seen(model, images, model.spec.match_stain)


def main() -> None:
    model = Model(load_bundle(sys.argv[1] if len(sys.argv) > 1 else "pbc-11"))
    data = Path(sys.argv[2] if len(sys.argv) > 2 else "../shared/data")
    with tempfile.TemporaryDirectory() as work:
        cells = home(data, model, Path(work))
        known = backgrounds(model, cells)
        synthetic(model, cells)
    mixtures(known, cells.labels, model.spec)
    others = {"known classes, fields/bccd": elsewhere(data, model), "plasma cells": unseen(data, model)}
    for name, found in others.items():
        ours, theirs = (assess(each.raw, model.spec.calibration) for each in (known, found))
        scores = [
            (score, auroc(getattr(ours, score), getattr(theirs, score)))
            for score in ("entropy", "mutual_information")
        ]
        scores.append(("distance", auroc(known.raw.distance, found.raw.distance)))
        print(f"{name} told from pbc/val, AUROC: ", ", ".join(f"{s} {value:.3f}" for s, value in scores))


if __name__ == "__main__":
    main()
