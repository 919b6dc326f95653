"""What a few labels of another laboratory teach, and what they cost at home; figures are means of 5 draws.

python -m benchmarks.adaptation [MODEL] [DATA] [CACHE] [SEED]…      DATA is ../shared/data

Five synthetic laboratories (``benchmarks/laboratories.py``) made of ``pbc/val``, ``fields/bccd``, plasma
cells of ``segpc_eval_only`` as a new class, and ``suggest`` against labels drawn at random. Labels come from
some cells and figures from the others. Features are kept in CACHE, one file a model and laboratory.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from benchmarks.laboratories import SEEDS, laboratory
from benchmarks.transfer import COARSE, crops, in_groups
from napari_deepheme import load_bundle
from napari_deepheme.adapt.classes import resolved
from napari_deepheme.adapt.head import LastLayer
from napari_deepheme.adapt.labelled import Grouping, LabelledCells
from napari_deepheme.adapt.look import Look
from napari_deepheme.adapt.networks import Frozen
from napari_deepheme.adapt.suggestion import suggest
from napari_deepheme.adapt.teaching import NewModel, learned_from
from napari_deepheme.classify.bundle import Bundle
from napari_deepheme.classify.stain import StainMatching, stain_colours
from napari_deepheme.datasets.folders import read_crop
from napari_deepheme.jobs import drain
from napari_deepheme.models.device import Device
from napari_deepheme.taxonomy import Taxonomy

DRAWS, SHOTS = 5, (5, 20)
SUGGESTED, RANDOM = 20, 40
FEWEST = 3
EVERY = 2  # of the cells of pbc/val are shown in the laboratories
BCCD = {"NEUTROPHIL": "M6", "EOSINOPHIL": "E4", "LYMPHOCYTE": "L2", "MONOCYTE": "MO2"}
Views = dict[Look, NDArray[np.float32]]
PLAIN = Look(StainMatching.NONE)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Cells of one laboratory, as the parent's members see them with the stain matched and as it is."""

    cells: LabelledCells
    views: Views

    @property
    def codes(self) -> NDArray[np.str_]:
        """Class of each cell."""
        return np.array(self.cells.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A parent, its frozen members, and where their features are kept."""

    bundle: Bundle
    frozen: Frozen
    cache: Path

    def default(self, place: Place) -> Look:
        """How the parent as it is looks at these cells."""
        wanted = Look(self.bundle.spec.match_stain)
        return wanted if wanted in place.views else PLAIN

    @property
    def layers(self) -> tuple[LastLayer, ...]:
        """The parent's last layers."""
        return self.frozen.layers

    def place(
        self,
        name: str,
        pixels: NDArray[np.uint8],
        labels: Sequence[str],
        groups: Sequence[str] | None = None,
    ) -> Place:
        """Cells with their features."""
        digest = sha256("".join(m.sha256 for m in self.bundle.spec.members).encode()).hexdigest()[:12]
        file = self.cache / f"{digest}-{name}-{len(labels)}.npz"
        names = tuple(str(i) for i in range(len(labels)))
        grouping = Grouping.IMAGE if groups is None else Grouping.FIELD
        smears = ("one",) * len(labels)
        cells = LabelledCells(pixels, tuple(labels), names, tuple(groups or names), grouping, smears)
        if not file.exists():
            # of one class, so that no statistics are taken
            views = drain(self.frozen.features(cells, np.zeros(len(labels), np.intp)))
            np.savez(file, **{look.stain.value: features for look, features in views.items()})
        stored = np.load(file)
        return Place(cells, {Look(each): stored[each] for each in StainMatching if each in stored})

    def taught(self, place: Place, index: NDArray[np.intp], seed: int) -> NewModel:
        """What the cells at ``index`` teach."""
        cells = place.cells.take(index)
        classes = resolved(cells.labels, self.bundle.spec.taxonomy)
        views = drain(self.frozen.features(cells, classes.labels))
        return drain(learned_from(self.bundle, self.layers, views, cells, classes, seed))

    def seen(self, place: Place, look: Look, index: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """Features of cells as the model that was taught last looks at them."""
        index = np.arange(len(place.cells)) if index is None else index
        if look._replace(own_norm=False) not in place.views:
            look = look._replace(stain=StainMatching.NONE)
        if not look.own_norm:
            return place.views[look][:, index]
        stain = stain_colours(place.cells.crops) if look.stain is not StainMatching.NONE else None
        return self.frozen.ensemble(look).features(place.cells.crops[index], stain)

    def said(self, layers: tuple[LastLayer, ...], features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (n, classes of the layers)."""
        pairs = zip(layers, features.astype(np.float64), strict=True)
        return np.mean([softmax(layer.logits(each), axis=1) for layer, each in pairs], axis=0)


def read_home(data: Path, bundle: Bundle, cache: Path) -> tuple[NDArray[np.uint8], list[str]]:
    index = pd.read_csv(data / "pbc" / "index.csv").query("split == 'val'")
    file = cache / f"val-{bundle.spec.input_px}-{bundle.spec.mpp:g}.npy"
    if not file.exists():
        np.save(file, np.stack([read_crop(data / "pbc" / path, 0.20, bundle.spec) for path in index["path"]]))
    codes = bundle.spec.taxonomy.resolve(index["source_class"])
    return np.load(file)[::EVERY], list(codes)[::EVERY]


def drawn(codes: NDArray[np.str_], shots: int, rng: np.random.Generator) -> NDArray[np.intp]:
    known = [rng.permutation(np.flatnonzero(codes == code))[:shots] for code in np.unique(codes)]
    return np.concatenate(known)


def right(probabilities: NDArray[np.float64], codes: NDArray[np.str_], taxonomy: Taxonomy) -> float:
    return float((np.array(taxonomy.codes)[probabilities.argmax(1)] == codes).mean())


def laboratories(model: Model, home: Place, seeds: Sequence[int]) -> None:
    rows = []
    for seed in seeds:
        lab = model.place(f"lab{seed}", laboratory(seed).crops(home.cells.crops), home.cells.labels)
        for shots in SHOTS:
            rows += [shown(model, home, lab, seed, shots, draw) for draw in range(DRAWS)]
            print(f"laboratory {seed}, {shots} labels a class:", summary(rows[-DRAWS:]), flush=True)
    for shots in SHOTS:
        some = [row for row in rows if row["shots"] == shots]
        print(f"five laboratories, {shots} labels a class:", summary(some))


def shown(model: Model, home: Place, lab: Place, seed: int, shots: int, draw: int) -> dict[str, float]:
    codes, taxonomy = lab.codes, model.bundle.spec.taxonomy
    index = drawn(codes, shots, np.random.default_rng([seed, draw, shots]))
    rest = np.setdiff1d(np.arange(len(codes)), index)
    start = time.perf_counter()
    learned = model.taught(lab, index, draw)
    seconds = time.perf_counter() - start
    look, default = learned.outcome.look, model.default(lab)
    after = model.said(learned.layers, model.seen(lab, look, rest))
    row = {
        "shots": shots,
        "home": right(model.said(model.layers, home.views[model.default(home)]), home.codes, taxonomy),
        "as it is": right(model.said(model.layers, lab.views[PLAIN][:, rest]), codes[rest], taxonomy),
        "parent": right(model.said(model.layers, lab.views[default][:, rest]), codes[rest], taxonomy),
        "adapted": right(after, codes[rest], learned.classes.taxonomy),
        "seconds": seconds,
    }
    at_home = model.said(learned.layers, model.seen(home, look))
    return row | {"home after": right(at_home, home.codes, learned.classes.taxonomy)}


def summary(rows: list[dict[str, float]]) -> str:
    mean = pd.DataFrame(rows).mean()
    won = [(mean["adapted"] - mean[name]) / (mean["home"] - mean[name]) for name in ("parent", "as it is")]
    return (
        f"colours as they are {mean['as it is']:.3f}, parent {mean['parent']:.3f}, "
        f"adapted {mean['adapted']:.3f}; "
        f"won back {won[0]:.0%} of what the parent lost, {won[1]:.0%} of the loss in colours as they are; "
        f"home {mean['home']:.3f} -> {mean['home after']:.3f}; {mean['seconds']:.1f} s"
    )


def bccd(model: Model, data: Path) -> None:
    folder, taxonomy = data / "fields" / "bccd", model.bundle.spec.taxonomy
    boxes = pd.read_csv(folder / "boxes.csv").query("label == 'WBC'").copy()
    boxes["area"] = (boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])
    classes = pd.read_csv(folder / "classes.csv").set_index("image")["class"]
    classes = classes[classes.isin(BCCD)]
    cells = boxes.sort_values("area").groupby("image").last().loc[classes.index]
    middle = (cells[["ymin", "xmin"]].to_numpy() + cells[["ymax", "xmax"]].to_numpy()) / 2
    at = [(folder / name, *yx) for name, yx in zip(classes.index, middle, strict=True)]

    place = model.place(
        "bccd", crops(at, 0.07, model.bundle.spec), [BCCD[c] for c in classes], list(classes.index)
    )
    truth = np.array([list(COARSE).index(name) for name in classes])
    groups = [[taxonomy.codes.index(code) for code in group] for group in COARSE.values()]
    rows = []
    for draw in range(DRAWS):
        index = drawn(place.codes, 5, np.random.default_rng(draw))
        rest = np.setdiff1d(np.arange(len(truth)), index)
        learned = model.taught(place, index, draw)
        sides = [
            (model.layers, model.default(place)),
            (model.layers, PLAIN),
            (learned.layers, learned.outcome.look),
        ]
        called = [
            in_groups(model.said(layers, model.seen(place, look, rest)), groups).argmax(1)
            for layers, look in sides
        ]
        rows.append([(each == truth[rest]).mean() for each in called])
    parent, plain, after = np.mean(rows, axis=0)
    print(
        f"bccd, 5 labels a class: colours as they are {plain:.3f}, parent {parent:.3f}, adapted {after:.3f}"
    )


def plasma(model: Model, home: Place, data: Path) -> None:
    folder = data / "fields" / "segpc_eval_only"
    table = pd.read_csv(folder / "plasma_cells.csv")
    middle = (table[["ymin", "xmin"]].to_numpy() + table[["ymax", "xmax"]].to_numpy()) / 2
    at = [(folder / name, *yx) for name, yx in zip(table["image"], middle, strict=True)]

    pixels = crops(at, 0.20, model.bundle.spec)
    place = model.place("segpc", pixels, ["L4"] * len(at), [str(name) for name in table["image"]])
    fields, rows = np.array(place.cells.groups), []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(np.unique(fields))
        index = np.concatenate([np.flatnonzero(fields == field) for field in order])[:20]
        others = np.flatnonzero(~np.isin(fields, fields[index]))
        learned = model.taught(place, index, draw)
        new = learned.classes.taxonomy.codes.index("L4")
        look = learned.outcome.look
        found = model.said(learned.layers, model.seen(place, look, others)).argmax(1) == new
        at_home = model.said(learned.layers, model.seen(home, look))
        rows.append([found.mean(), (at_home.argmax(1) == new).mean(), learned.outcome.strength])
        kept = right(at_home, home.codes, learned.classes.taxonomy)
        rows[-1].append(kept)
    recall, false, strength, kept = np.mean(rows, axis=0)
    print(
        f"plasma cells from 20 labels: recall in other fields {recall:.3f}, {false:.2%} of pbc/val called "
        f"so, home {kept:.3f}, strength {strength:g}"
    )


def figure(model: Model, lab: Place, index: NDArray[np.intp], test: NDArray[np.intp], draw: int) -> float:
    """Accuracy after labels, less classes with too few; the parent's where one class is left."""
    values, counts = np.unique(lab.codes[index], return_counts=True)
    enough = values[counts >= FEWEST]
    taxonomy, layers, look = model.bundle.spec.taxonomy, model.layers, model.default(lab)
    if len(enough) > 1:
        learned = model.taught(lab, index[np.isin(lab.codes[index], enough)], draw)
        layers, look = learned.layers, learned.outcome.look
    return right(model.said(layers, model.seen(lab, look, test)), lab.codes[test], taxonomy)


def suggestions(model: Model, home: Place, seeds: Sequence[int]) -> None:
    figures = []
    for seed in seeds:
        lab = model.place(f"lab{seed}", laboratory(seed).crops(home.cells.crops), home.cells.labels)
        codes, default, rows = lab.codes, model.default(lab), []
        for draw in range(DRAWS):
            order = np.random.default_rng([seed, draw]).permutation(len(codes))
            pool, test = np.array_split(order, 2)
            pairs = zip(model.layers, lab.views[default][:, pool].astype(np.float64), strict=True)
            members = np.stack([softmax(layer.logits(each), axis=1) for layer, each in pairs])
            chosen = pool[suggest(members, n=SUGGESTED)]
            row = [
                right(
                    model.said(model.layers, lab.views[default][:, test]),
                    codes[test],
                    model.bundle.spec.taxonomy,
                )
            ]
            row += [
                figure(model, lab, index, test, draw) for index in (chosen, pool[:SUGGESTED], pool[:RANDOM])
            ]
            rows.append(row)
        figures.append(np.mean(rows, axis=0))
        print(f"laboratory {seed}, parent / suggested / random:", figures[-1].round(4), flush=True)
    parent, chosen, few, many = np.mean(figures, axis=0)
    print(
        f"parent {parent:.4f}; {SUGGESTED} labels suggested {chosen:.4f}; at random {SUGGESTED}: {few:.4f}, "
        f"{RANDOM}: {many:.4f}"
    )


def main() -> None:
    bundle = load_bundle(sys.argv[1] if len(sys.argv) > 1 else "pbc-11")
    data = Path(sys.argv[2] if len(sys.argv) > 2 else "../shared/data")
    cache = Path(sys.argv[3] if len(sys.argv) > 3 else "/tmp/deepheme-adaptation")
    cache.mkdir(parents=True, exist_ok=True)
    seeds = [int(each) for each in sys.argv[4:]] or SEEDS
    model = Model(bundle, Frozen(bundle, Device.AUTO), cache)
    home = model.place("home", *read_home(data, bundle, cache))
    plasma(model, home, data)
    bccd(model, data)
    laboratories(model, home, seeds)
    suggestions(model, home, seeds)


if __name__ == "__main__":
    main()
