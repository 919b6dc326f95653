"""Is a slide one of ours, asked of adapted models: by how many labels there were, and who chose them.

python -m benchmarks.adapted_verdicts [DATA] [CACHE] [SEED]…      DATA is ../shared/data

Labels are taken from one half of the cells of a synthetic laboratory, slides of 300 cells from the other half
and from the next of the laboratories. Features are kept in CACHE, as by benchmarks.adaptation.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.special import entr, softmax

from benchmarks.adaptation import PLAIN, Model, Place, read_home
from benchmarks.laboratories import laboratory
from napari_deepheme import load_bundle
from napari_deepheme.adapt.networks import Frozen
from napari_deepheme.adapt.suggestion import suggest
from napari_deepheme.adapt.teaching import NewModel
from napari_deepheme.classify.making import pooled
from napari_deepheme.models.device import Device
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.exchangeability import exchangeability
from napari_deepheme.taxonomy import PBC_11

SEEDS = (1, 2, 3)
COUNTS, DRAWS, SLIDES, CELLS, FEWEST = (100, 150, 250, 400), 3, 4, 300, 3
COUNTED = np.array([c.counted for c in PBC_11.classes])


def picked(how: str, model: Model, place: Place, pool: np.ndarray, n: int) -> np.ndarray:
    """The cells of the pool to label, less those of classes with too few."""
    pairs = zip(model.layers, place.views[PLAIN][:, pool].astype(np.float64), strict=True)
    members = np.stack([softmax(layer.logits(each), axis=1) for layer, each in pairs])
    if how == "at random":
        chosen = pool[:n]
    elif how == "by doubt":
        chosen = pool[np.argsort(-entr(members.mean(axis=0)).sum(axis=1))[:n]]
    else:
        chosen = pool[suggest(members, n=n)]
    _, which, counts = np.unique(place.codes[chosen], return_inverse=True, return_counts=True)
    return chosen[counts[which] >= FEWEST]


def said(model: Model, learned: NewModel, place: Place, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and distances that the adapted model gives cells."""
    features = model.seen(place, learned.outcome.look, index)
    pairs = zip(learned.layers, features.astype(np.float64), strict=True)
    members = np.stack([softmax(layer.logits(each), axis=1) for layer, each in pairs])
    distance = learned.reference.distance(features)
    return pooled(members, distance, learned.outcome.temperature, learned.farthest), distance


def verdicts(model: Model, places: list[Place], n: int, how: str) -> Iterator[tuple[str, str]]:
    """Where a slide is from, and its verdict."""
    for i, place in enumerate(places):
        for draw in range(DRAWS):
            rng = np.random.default_rng([i, n, draw])
            pool, rest = np.array_split(rng.permutation(len(place.cells)), 2)
            learned = model.taught(place, picked(how, model, place, pool, n), draw)
            outcome, distance = learned.outcome, learned.distance
            known = CalibrationSet(
                pooled(outcome.members, distance, outcome.temperature, learned.farthest),
                learned.classes.labels.astype(np.int64),
                distance,
                at_random=how == "at random",
                cross_validated=True,
            )
            slides = [("same", place, rng.choice(rest, CELLS, replace=False)) for _ in range(SLIDES)]
            slides += [("other", places[(i + 1) % len(places)], rest[:CELLS])]
            slides += [("taught, none left out", place, pool[:CELLS])]
            for where, laboratory_of, index in slides:
                found = exchangeability(
                    *said(model, learned, laboratory_of, index), known, COUNTED, seed=draw
                )
                yield where, found.verdict.value


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    cache = Path(sys.argv[2] if len(sys.argv) > 2 else "features")
    cache.mkdir(exist_ok=True)
    bundle = load_bundle("pbc-11")
    model = Model(bundle, Frozen(bundle, Device.AUTO), cache)
    pixels, labels = read_home(data, bundle, cache)
    seeds = tuple(map(int, sys.argv[3:])) or SEEDS
    places = [model.place(f"lab{s}", laboratory(s).crops(pixels), labels) for s in seeds]
    for how in ("at random", "by doubt", "by suggest"):
        for n in COUNTS:
            tally = Counter(verdicts(model, places, n, how))
            print(
                f"{n} labels {how}:",
                ", ".join(f"{a} {b} {c}" for (a, b), c in sorted(tally.items())),
                flush=True,
            )


if __name__ == "__main__":
    main()
