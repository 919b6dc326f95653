import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_deepheme.detect.base import Detections, TileMerge


def detections(yx: list[tuple[float, float]]) -> Detections:
    points = np.array(yx, float).reshape(-1, 2)
    return Detections(points, np.ones(len(points), np.float32), np.ones(len(points), np.float32))


def accept(merge: TileMerge, core: tuple[float, float, float, float], found: Detections) -> Detections:
    own = merge.own(core, found)
    return own.take(merge.new(core, own.yx))


def test_a_cell_seen_from_both_sides_of_a_border_is_kept_once():
    merge = TileMerge((0.25, 0.25))
    first = accept(merge, (0, 0, 100, 100), detections([(50, 99.6)]))
    second = accept(merge, (0, 100, 100, 200), detections([(50, 100.2), (50, 130)]))
    assert first.yx.tolist() == [[50, 99.6]]
    assert second.yx.tolist() == [[50, 130]]


def test_a_cell_that_each_tile_places_on_the_other_side_is_kept_once_and_inside():
    merge = TileMerge((0.25, 0.25))
    first = accept(merge, (0, 0, 100, 100), detections([(50, 100.4), (60, 103)]))
    second = accept(merge, (0, 100, 100, 200), detections([(50, 99.7), (60, 103)]))
    assert len(first.yx) == 1
    assert 99.9 < first.yx[0, 1] < 100
    assert second.yx.tolist() == [[60, 103]]


def test_two_cells_of_one_tile_are_both_kept_however_close():
    assert len(accept(TileMerge((0.25, 0.25)), (0, 0, 100, 100), detections([(99, 50), (99, 54)])).yx) == 2


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), unique=True, max_size=20), st.randoms())
def test_every_cell_is_found_exactly_once_whatever_the_order_of_tiles(grid, random):
    cells = [(10.0 * y + 5, 10.0 * x + 5) for y, x in grid]
    tiles = [(y, x, y + 100, x + 100) for y in range(0, 400, 100) for x in range(0, 400, 100)]
    random.shuffle(tiles)
    merge = TileMerge((1.0, 1.0))
    kept = [tuple(yx) for tile in tiles for yx in accept(merge, tile, detections(cells)).yx]
    assert sorted(kept) == sorted(cells)
