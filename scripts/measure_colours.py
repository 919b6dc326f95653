"""Measure the glass and the red cells of smears in many stains, for :mod:`napari_deepheme.train.painting`.

    python scripts/measure_colours.py [FIELDS]      FIELDS is ../shared/data/fields/chula_rbc

Every fifth field, in the order of names, is kept for validation and not looked at.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import napari_deepheme.train
from napari_deepheme.train.painting import COLOURS_FILE

HELD_BACK, STRIDE = 5, 3


def colours(field: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Densities of the glass, and over it of the red cells: six numbers."""
    density = -np.log((field[::STRIDE, ::STRIDE].reshape(-1, 3).astype(np.float64) + 1) / 256)
    total = density.sum(axis=1)
    glass = np.median(density[total <= np.quantile(total, 0.15)], axis=0)
    over = density - glass
    total = over.sum(axis=1)
    # the densest are platelets, white cells, dirt and rims
    most = np.quantile(total, 0.97)
    return np.concatenate([glass, np.median(over[(total > 0.35 * most) & (total < most)], axis=0)])


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/fields/chula_rbc")
    fields = [file for n, file in enumerate(sorted(folder.glob("*.jpg"))) if n % HELD_BACK]
    rows = np.stack([colours(np.asarray(Image.open(file).convert("RGB"))) for file in fields])
    header = ",".join(
        f"{part}_{light}" for part in ("glass", "red_cell") for light in ("red", "green", "blue")
    )
    out = Path(napari_deepheme.train.__file__).with_name(COLOURS_FILE)
    np.savetxt(out, rows, fmt="%.4f", delimiter=",", header=header, comments="")


if __name__ == "__main__":
    main()
