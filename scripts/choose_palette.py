"""Choose the colours of the cell classes by computation; the same every time.

Two classes of different lineage are to differ by a CIEDE2000 distance of at least 10 for people with normal
colour vision, without the medium-wave cones (deuteranopia) and without the long-wave ones (protanopia):
Machado, Oliveira & Fernandes 2009, IEEE TVCG 15:1291, severity 1. Each lineage keeps a window of hues, and
lightness rises with maturation. Simulated annealing over a grid of sRGB colours, from a fixed seed.

    python scripts/choose_palette.py            # print what it chooses
    python scripts/choose_palette.py --write    # and put it into taxonomy/presets.py
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from colour.blindness import matrix_cvd_Machado2009
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab

TAXONOMY = Path(__file__).parents[1] / "src/napari_deepheme/taxonomy/presets.py"

APART = 10.8
"""Wanted between lineages; a little above the 10 that the test asks for."""
STAGES_APART = 9.0
"""Wanted between classes of one lineage, normal vision."""
RISE = 5.0
"""Wanted rise of lightness from one stage to the next."""
LIGHTNESS = (33, 91)
STEPS = 200_000


@dataclass(frozen=True)
class Hues:
    """Colours a group of classes may have: Lab hue in degrees and chroma."""

    codes: tuple[str, ...]
    hue: tuple[float, float]
    chroma: tuple[float, float]
    lightness: tuple[float, float] = (0, 100)


GROUPS = {
    "granulocytic": (Hues(("M1", "M2", "FGC", "M3", "M4", "M5", "M6"), (262, 298), (26, 85)),),
    "eosinophilic": (Hues(("E1", "E4"), (50, 76), (45, 95), (46, 91)),),
    "basophilic": (Hues(("B1", "B2"), (306, 332), (28, 85)),),
    "monocytic": (Hues(("MO1", "MO2"), (180, 225), (18, 60)),),
    "lymphoid": (Hues(("L0", "LYI", "L1", "L2", "L3", "HAC"), (126, 165), (28, 85)),),
    "plasma": (Hues(("L4",), (96, 122), (40, 95)),),
    "erythroid": (Hues(("ER1", "ER2", "ER3", "ER4", "ER5", "ER6"), (5, 40), (27, 90)),),
    "other": (
        Hues(("U1", "KSC", "NIF"), (0, 360), (0, 8)),
        Hues(("PL1", "PL2", "PL3", "PL4", "OTH"), (78, 98), (10, 75)),
        Hues(("U4",), (334, 358), (25, 75)),
    ),
}
LINES = (
    ("M1", "M2", "M3", "M4", "M5", "M6"),
    ("ER1", "ER2", "ER3", "ER4", "ER5", "ER6"),
    ("E1", "E4"),
    ("L0", "L1", "L2"),
    ("LYI", "L2"),
    ("MO1", "MO2"),
    ("PL1", "PL2", "PL3"),
)
"""Lightness rises along these."""


class Candidates:
    """A grid of sRGB colours with their distances: ``least`` over the three visions, ``normal``."""

    def __init__(self) -> None:
        lightness, chroma, hue = np.meshgrid(
            np.arange(LIGHTNESS[0], LIGHTNESS[1] + 1, 3), np.arange(0, 96, 9), np.arange(0, 360, 8)
        )
        angle = np.deg2rad(hue.ravel())
        lab = np.stack([lightness.ravel(), chroma.ravel() * np.cos(angle), chroma.ravel() * np.sin(angle)], 1)
        rgb = lab2rgb(lab)
        inside = deltaE_ciede2000(rgb2lab(rgb), lab) < 0.5  # outside sRGB it is clipped, and moves
        self.rgb = np.unique(np.round(rgb[inside] * 255).astype(np.uint8), axis=0)
        self.lab = rgb2lab(self.rgb / 255)
        self.normal = _distances(self.lab)
        self.least = self.normal
        for vision in ("Deuteranomaly", "Protanomaly"):
            seen = as_seen(self.rgb / 255, matrix_cvd_Machado2009(vision, 1.0))
            self.least = np.minimum(self.least, _distances(rgb2lab(seen)))

    def within(self, hues: Hues) -> NDArray[np.intp]:
        """Candidates in a window."""
        chroma = np.hypot(self.lab[:, 1], self.lab[:, 2])
        hue = np.rad2deg(np.arctan2(self.lab[:, 2], self.lab[:, 1])) % 360
        sides = ((hue, hues.hue), (chroma, hues.chroma), (self.lab[:, 0], hues.lightness))
        return np.flatnonzero(np.all([(low <= each) & (each <= high) for each, (low, high) in sides], axis=0))


def as_seen(rgb: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours (n, 3), 0 to 1, as a person without one kind of cones sees them."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ matrix.T, 0, 1)
    return np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)


def _distances(lab: NDArray[np.float64]) -> NDArray[np.float32]:
    rows = [deltaE_ciede2000(lab[i : i + 100, None], lab[None]) for i in range(0, len(lab), 100)]
    return np.concatenate(rows).astype(np.float32)


class Search:
    """Annealing of one colour per class."""

    def __init__(self, candidates: Candidates, seed: int) -> None:
        self.candidates, self.random = candidates, np.random.default_rng(seed)
        groups = [(name, hues) for name, windows in GROUPS.items() for hues in windows]
        self.codes = [code for _, hues in groups for code in hues.codes]
        self.choices = [candidates.within(hues) for _, hues in groups for _ in hues.codes]
        lineage = np.array([name for name, hues in groups for _ in hues.codes])
        self.other_lineage = lineage[:, None] != lineage[None]
        place = {code: i for i, code in enumerate(self.codes)}
        steps = [(place[a], place[b]) for line in LINES for a, b in pairwise(line)]
        self.younger, self.older = np.array(steps).T
        self.now = np.array([self.random.choice(each) for each in self.choices])

    def cost(self, now: NDArray[np.intp]) -> float:
        """Squares of what is missing; between lineages it weighs most."""
        least = self.candidates.least[np.ix_(now, now)]
        normal = self.candidates.normal[np.ix_(now, now)]
        short = np.where(self.other_lineage, np.maximum(APART - least, 0), 0) ** 2
        alike = np.where(self.other_lineage, 0, np.maximum(STAGES_APART - normal, 0)) ** 2
        np.fill_diagonal(alike, 0)
        light = self.candidates.lab[now, 0]
        flat = np.maximum(RISE - (light[self.older] - light[self.younger]), 0) ** 2
        vivid = np.hypot(*self.candidates.lab[now, 1:].T).sum()
        return float(short.sum() + 0.1 * alike.sum() + 0.3 * flat.sum() - 0.008 * vivid)

    def run(self) -> NDArray[np.intp]:
        """The best found."""
        cost = self.cost(self.now)
        best, best_cost = self.now.copy(), cost
        for temperature in np.geomspace(30, 0.01, STEPS):
            i = self.random.integers(len(self.codes))
            new = self.now.copy()
            new[i] = self.random.choice(self.choices[i])
            new_cost = self.cost(new)
            if new_cost <= cost or self.random.random() < np.exp((cost - new_cost) / temperature):
                self.now, cost = new, new_cost
                if cost < best_cost:
                    best, best_cost = new, cost
        return best

    def least_apart(self, now: NDArray[np.intp]) -> tuple[float, str, str]:
        """The nearest two classes of different lineage."""
        least = np.where(self.other_lineage, self.candidates.least[np.ix_(now, now)], np.inf)
        i, j = np.unravel_index(least.argmin(), least.shape)
        return float(least[i, j]), self.codes[i], self.codes[j]


def put_into(text: str, colours: dict[str, str]) -> str:
    """The taxonomy's source with the colour of each class replaced."""
    for code, colour in colours.items():
        text = re.sub(rf'(CellClass\(\s*"{code}",[^#]*?")#[0-9a-f]{{6}}"', rf'\g<1>{colour}"', text)
    return text


def main() -> None:
    search = Search(Candidates(), seed=0)
    best = search.run()
    rgb = search.candidates.rgb[best]
    colours = {
        code: "#{:02x}{:02x}{:02x}".format(*each) for code, each in zip(search.codes, rgb, strict=True)
    }
    # the same cells under the names of other sets
    colours |= {"EBO": colours["ER3"], "EOS": colours["E4"], "ABE": colours["E1"]}
    colours |= {"U2": colours["NIF"], "UL": colours["KSC"], "U3": colours["OTH"]}
    for code, colour in colours.items():
        print(code, colour)
    distance, one, other = search.least_apart(best)
    print(f"the least apart of two lineages: {distance:.1f}, {one} and {other}")
    if "--write" in sys.argv[1:]:
        TAXONOMY.write_text(put_into(TAXONOMY.read_text(encoding="utf-8"), colours), encoding="utf-8")


if __name__ == "__main__":
    main()
