"""Units of an analysis, made by hand."""

from __future__ import annotations

import numpy as np

from napari_deepheme.analysis.result import UnitResult
from napari_deepheme.cells import Cells, RawOutputs

SIGNATURE = {"slide": "1-ab-1000x2000", "model": "toy 1", "parts of the slide": "fields to count"}


def unit(key: str, n: int, seed: int = 0) -> UnitResult:
    """A unit of n cells."""
    rng = np.random.default_rng(seed)
    cells = Cells(
        rng.uniform(0, 1000, (n, 2)), rng.uniform(6, 20, n), rng.uniform(0.1, 1, n), np.zeros(n, np.int32)
    )
    distance = np.where(np.arange(n) % 3, rng.uniform(0, 3, n), np.nan)
    return UnitResult(key, cells, RawOutputs(rng.dirichlet(np.full(11, 0.3), (2, n)), distance))
