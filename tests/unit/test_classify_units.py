"""Cells of several units are classified together; which ones must not depend on what is done already."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_deepheme.analysis import classify
from napari_deepheme.analysis.classify import classified
from napari_deepheme.analysis.locate import Located
from napari_deepheme.cells import Cells, RawOutputs
from napari_deepheme.errors import DamagedTileError

SIZES = [0, 3, 4, 0, 2, 9, 1, 1, 5]  # cells in each unit
BROKEN = 4  # its crops cannot be read


class Ensemble:
    """Says of each cell its own pixel, and remembers what came together."""

    full_batch = 6

    def __init__(self):
        self.batches = []

    def run(self, pixels, _stain, _settling):
        numbers = pixels[:, 0, 0, 0]
        self.batches.append(numbers.tolist())
        return RawOutputs(np.ones((1, len(pixels), 1), np.float16), numbers.astype(np.float32))


@pytest.fixture(autouse=True)
def crops_show_the_number_of_their_cell(monkeypatch):
    def crops(slide, yx, px, mpp):
        if slide.broken in yx[:, 0]:
            raise DamagedTileError("a tile is damaged")
        return np.ones((len(yx), px, px, 3), np.uint8) * yx[:, 1].astype(np.uint8)[:, None, None, None]

    monkeypatch.setattr(classify, "crops", crops)


def cells(unit, start):
    n = SIZES[unit]
    yx = np.stack([np.full(n, unit, float), np.arange(start, start + n, dtype=float)], axis=1)
    return Cells(yx, np.ones(n, np.float32), np.ones(n, np.float32), np.zeros(n, np.int32))


def run(done=()):
    """Batches and results where some units are done."""

    def units():
        for i, start in enumerate(np.cumsum([0, *SIZES[:-1]])):
            found = cells(i, start)
            kept = found.yx[:0] if i == BROKEN else found.yx
            yield Located.before(str(i), kept) if i in done else Located(str(i), found)

    ensemble = Ensemble()
    facts = SimpleNamespace(
        bundle=SimpleNamespace(input_px=4, mpp=0.25),
        calibration=SimpleNamespace(stain=None),
        options=SimpleNamespace(cascade=False),
    )
    engine, slide = SimpleNamespace(ensemble=ensemble), SimpleNamespace(broken=BROKEN)
    results = [unit for group in classified(engine, slide, facts, units()) for unit in group]
    return ensemble.batches, {unit.key: unit for unit in results}


def test_units_come_whole_and_in_order_with_their_own_outputs():
    batches, results = run()
    assert list(results) == [str(i) for i in range(len(SIZES))]
    for i, start in enumerate(np.cumsum([0, *SIZES[:-1]])):
        unit = results[str(i)]
        assert bool(unit.failure) == (i == BROKEN)
        expected = [] if i == BROKEN else list(range(start, start + SIZES[i]))
        assert unit.raw.distance.tolist() == unit.cells.yx[:, 1].tolist() == expected
    assert [len(batch) for batch in batches] == [3, 13, 7]  # the first that has any; then full ones


def test_units_in_which_no_cell_is_found_do_not_hold_back_the_others(monkeypatch):
    monkeypatch.setattr(classify, "_MOST_UNITS", 2)
    batches, results = run()
    assert [len(batch) for batch in batches] == [3, 4, 9, 2, 5]
    assert len(results) == len(SIZES)


@pytest.mark.parametrize("done", [{0}, {1}, {2}, {0, 1}, {3, 4, 5}, {6}, {2, 3, 4, 6, 7}])
def test_a_run_that_goes_on_classifies_the_same_cells_together(done):
    whole, rest = run(), run(done)
    assert [batch for batch in whole[0] if batch in rest[0]] == rest[0]
    assert list(rest[1]) == [key for key in whole[1] if int(key) not in done]
    for key, unit in rest[1].items():
        assert unit.raw.distance.tolist() == whole[1][key].raw.distance.tolist()
