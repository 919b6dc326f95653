"""Do the numbers hold: correction and its intervals at home, audits elsewhere, the test of exchangeability.

python -m benchmarks.quantification RAW.npz [intervals|home|elsewhere|ours|accepted]…

RAW.npz is what benchmarks.raw_outputs wrote; without names all parts run.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.special import entr

from benchmarks.transfer import COARSE, MIXTURES
from napari_deepheme import load_bundle
from napari_deepheme.classify.bundle import calibration_cells
from napari_deepheme.stats.audit import Audit, corrected_by, plan_audit
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.exchangeability import exchangeability
from napari_deepheme.stats.intervals import (
    Interval,
    RatioInterval,
    clopper_pearson,
    ratio_interval,
    share_intervals,
    wilson,
)
from napari_deepheme.stats.quantify import Method, QuantifyOptions, quantify
from napari_deepheme.stats.risk import accepted_accuracy
from napari_deepheme.taxonomy import PBC_11

MIXES, CELLS, REPEATS, SLOW, AUDITED, ALARMS = 100, 500, 4000, 200, 50, 200
CALIBRATION_CELLS = 870
CODES = PBC_11.codes
COUNTED = np.array([c.counted for c in PBC_11.classes])


class Laboratories:
    """Raw outputs by set, and random halves of home: one calibrates, the other is counted."""

    def __init__(self, path: str) -> None:
        self.arrays = np.load(path)
        self.names = [key.split("/")[1] for key in self.arrays.files if key.startswith("probabilities/")]

    def outputs(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and distances of a set."""
        return self.arrays[f"probabilities/{name}"], self.arrays[f"distance/{name}"]

    def halves(self, rng: np.random.Generator) -> tuple[CalibrationSet, np.ndarray]:
        """Calibration cells, and indices of the others."""
        truth, order = self.arrays["truth/home"], rng.permutation(len(self.arrays["truth/home"]))
        first, second = np.array_split(order, 2)
        probabilities, distance = self.outputs("home")
        return CalibrationSet(probabilities[first], truth[first].astype(np.int64), distance[first]), second


def mixed(
    truth: np.ndarray, pool: np.ndarray, rng: np.random.Generator, shares: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of a smear and cells drawn from it, none twice; random shares when none are given."""
    there = np.bincount(truth[pool], minlength=len(COUNTED))
    while True:
        mix = np.zeros(len(COUNTED))
        mix[COUNTED] = rng.dirichlet(np.ones(COUNTED.sum())) if shares is None else shares[COUNTED]
        numbers = rng.multinomial(CELLS, mix)
        if shares is not None:
            numbers = np.minimum(numbers, there)
        if (numbers <= there).all():
            picked = [
                rng.choice(pool[truth[pool] == k], n, replace=False) for k, n in enumerate(numbers) if n
            ]
            return mix, np.concatenate(picked)


def at_home(laboratories: Laboratories) -> None:
    print(f"pbc/val, {MIXES} random mixes of {CELLS} cells; calibrated on the other half")
    rng, truth = np.random.default_rng(0), laboratories.arrays["truth/home"]
    probabilities, _ = laboratories.outputs("home")
    figures: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for i in range(MIXES):
        calibration, pool = laboratories.halves(rng)
        mix, index = mixed(truth, pool, rng)
        options = QuantifyOptions(CODES, COUNTED, replicates=300, seed=i)
        counts = np.bincount(probabilities[index].argmax(axis=1), minlength=len(CODES)) * COUNTED
        bounds = wilson(counts, np.full(len(CODES), counts.sum()))
        figures["count, sampling alone"].append(judged(counts / counts.sum(), *bounds, mix, COUNTED))
        for method in Method:
            found = quantify(probabilities[index], calibration, method, options)
            if not found.refusal:
                figures[method].append(judged(found.fractions, found.low, found.high, mix, COUNTED))
    show(figures)


def judged(
    fractions: np.ndarray, low: np.ndarray, high: np.ndarray, truth: np.ndarray, kept: np.ndarray
) -> tuple[float, float, float]:
    inside = (low <= truth) & (truth <= high)
    return np.abs(fractions - truth)[kept].mean(), inside[kept].mean(), (high - low)[kept].mean()


def show(figures: dict[str, list[tuple[float, float, float]]]) -> None:
    for name, rows in figures.items():
        error, coverage, width = np.mean(rows, axis=0)
        print(
            f"  {name:28} mean absolute error {100 * error:.2f} points, coverage {coverage:.3f}, "
            f"width {100 * width:.1f} points ({len(rows)} mixes)"
        )


def elsewhere(laboratories: Laboratories) -> None:
    print(f"fields/bccd, {MIXES} random mixes of {CELLS} cells drawn with replacement, five coarse classes")
    rng, truth = np.random.default_rng(1), laboratories.arrays["truth/bccd"]
    probabilities, _ = laboratories.outputs("bccd")
    groups = [[CODES.index(code) for code in group] for group in COARSE.values()]
    every, figures = np.ones(len(groups), bool), defaultdict(list)
    for i in range(MIXES):
        calibration, _ = laboratories.halves(rng)
        mix = rng.dirichlet(np.ones(len(groups)))
        names = rng.choice(len(groups), CELLS, p=mix)
        index = np.array([rng.choice(np.flatnonzero(truth == name)) for name in names])
        calls = probabilities[index].argmax(axis=1)
        counts = np.array([np.isin(calls, group).sum() for group in groups])
        bounds = wilson(counts, np.full(len(groups), CELLS))
        figures["counted"].append(judged(counts / CELLS, *bounds, mix, every))
        options = QuantifyOptions(CODES, COUNTED, replicates=300, seed=i)
        found = quantify(probabilities[index], calibration, Method.EM, options)
        if not found.refusal:
            # sums of shares: bounds added, so wider than they need to be
            sums = [
                np.array([each[group].sum() for group in groups])
                for each in (found.fractions, found.low, found.high)
            ]
            figures["em, calibrated at home"].append(judged(*sums, mix, every))
        chosen = plan_audit(calls, AUDITED, i)
        audit = corrected_by(Audit.of(calls, names, chosen, len(groups)))
        figures[f"audit of about {AUDITED}"].append(
            judged(audit.fractions, audit.low, audit.high, mix, every)
        )
    show(figures)


def ours(laboratories: Laboratories) -> None:
    print("Exchangeability with the calibration cells")
    rng, truth = np.random.default_rng(2), laboratories.arrays["truth/home"]
    probabilities, distance = laboratories.outputs("home")
    mixes = {"random mixes": None} | {
        name: np.array([percent.get(code, 0) for code in CODES]) / 100 for name, percent in MIXTURES.items()
    }
    shipped = calibration_cells(load_bundle("pbc-11"))
    for name, shares in mixes.items():
        beside_halves, beside_shipped = [], []
        for i in range(ALARMS):
            calibration, pool = laboratories.halves(rng)
            _, index = mixed(truth, pool, rng, shares)
            for known, verdicts in ((calibration, beside_halves), (shipped, beside_shipped)):
                found = exchangeability(
                    probabilities[index], distance[index], known, COUNTED, permutations=999, seed=i
                )
                verdicts.append(found.verdict.value)
        print(f"  home, {name}: {tally(beside_halves)}; beside the bundle's cells: {tally(beside_shipped)}")
    for name in laboratories.names:
        if name != "home":
            each = [judge(laboratories, name, rng, i) for i in range(10)]
            print(f"  {name}: {tally(each)} ({len(laboratories.outputs(name)[1])} cells)")


def judge(laboratories: Laboratories, name: str, rng: np.random.Generator, seed: int) -> str:
    calibration, _ = laboratories.halves(rng)
    return exchangeability(*laboratories.outputs(name), calibration, COUNTED, seed=seed).verdict.value


def accepted(laboratories: Laboratories) -> None:
    print(f"Accuracy among accepted cells, {MIXES} random mixes; all of pbc/val taken as the population")
    rng, truth = np.random.default_rng(4), laboratories.arrays["truth/home"].astype(np.int64)
    probabilities, distance = laboratories.outputs("home")
    threshold = load_bundle("pbc-11").spec.review.threshold
    entropy = entr(probabilities.astype(np.float64)).sum(axis=1)
    kept, right = entropy <= threshold, probabilities.argmax(axis=1) == truth
    everything, rows = np.arange(len(truth)), defaultdict(list)
    for i in range(MIXES):
        drawn = rng.choice(everything, CALIBRATION_CELLS)
        calibration = CalibrationSet(probabilities[drawn], truth[drawn], distance[drawn])
        mix, index = mixed(truth, everything, rng)
        there = np.maximum(np.bincount(truth, minlength=len(mix)), 1)
        weights = (mix / there)[truth] * kept
        true = (weights * right).sum() / weights.sum()
        options = QuantifyOptions(CODES, COUNTED, replicates=20, seed=i)
        found = quantify(probabilities[index], calibration, Method.EM, options)
        shares = {"as they are": None, "weighted to the mix": None if found.refusal else found.fractions}
        for name, each in shares.items():
            said = accepted_accuracy(entropy[index], calibration, threshold, each)
            within = said.low <= true <= said.high
            rows[name].append((abs(said.accuracy - true), within, said.high - said.low))
    show(rows)


def tally(verdicts: list[str]) -> str:
    return ", ".join(f"{name} {verdicts.count(name) / len(verdicts):.0%}" for name in dict.fromkeys(verdicts))


def intervals() -> None:
    print(f"Coverage of nominal 95 % intervals, {REPEATS} simulated counts of 500 cells")
    for name, covered in simulated():
        print(f"  {name:40} {covered:.3f}")


def simulated() -> Iterator[tuple[str, float]]:
    rng = np.random.default_rng(3)
    shares = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.05, 0.02])
    counts = rng.multinomial(500, shares, REPEATS)
    for name, bounds in (("Wilson", wilson), ("Clopper-Pearson", clopper_pearson)):
        low, high = bounds(counts, np.full(counts.shape, 500))
        yield f"{name}, mean of eight classes", ((low <= shares) & (shares <= high)).mean()
    for interval in (Interval.GOODMAN, Interval.SISON_GLAZ):
        held = []
        for row in counts[:SLOW]:
            low, high = share_intervals(row, interval)
            held.append(((low <= shares) & (shares <= high)).all())
        yield f"{interval.value}, all eight at once, {SLOW} counts", float(np.mean(held))
    for method in RatioInterval:
        bounds = np.array([ratio_interval(row[0], row[3], method) for row in counts])
        yield f"ratio of 3, {method.value}", ((bounds[:, 0] <= 3) & (bounds[:, 1] >= 3)).mean()


def main() -> None:
    laboratories = Laboratories(sys.argv[1])
    parts = {
        "intervals": intervals,
        "home": partial(at_home, laboratories),
        "elsewhere": partial(elsewhere, laboratories),
        "ours": partial(ours, laboratories),
        "accepted": partial(accepted, laboratories),
    }
    for name in sys.argv[2:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
