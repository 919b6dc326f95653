"""Tiles must neither lose nor double a cell; crops must come back in the order of the cells."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painted_slides import texture, write_tiff

from napari_deepheme.slide import open_slide
from napari_deepheme.slide.tiles import crops, grid, prefetch


@given(
    corner=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    size=st.tuples(st.floats(1, 5000), st.floats(1, 5000)),
    scale=st.floats(0.05, 1),
    tile=st.integers(200, 700),
    seed=st.integers(0, 99),
)
def test_every_point_lies_in_exactly_one_core(corner, size, scale, tile, seed):
    (top, left), (height, width) = corner, size
    tiles = grid((top, left, top + height, left + width), (scale, scale * 1.1), 0.5, tile, 32)
    points = np.random.default_rng(seed).uniform((top, left), (top + height, left + width), (50, 2))
    points = np.vstack([points, [top, left]])
    assert (sum(each.holds(points).astype(int) for each in tiles) == 1).all()
    outside = np.array([[top - 1e-3, left], [top + height, left]])
    assert not any(each.holds(outside).any() for each in tiles)


def test_a_core_lies_in_the_middle_of_what_is_read(tmp_path):
    full = texture(300, 300)
    (first, _, third, _) = grid((20, 30, 180, 190), (0.25, 0.25), 0.25, 80, 10)
    assert first.core == (20, 30, 100, 110)
    assert third.core == (100, 30, 180, 110)
    with open_slide(write_tiff(tmp_path / "a.tif", full), mpp=0.25) as slide:
        assert np.array_equal(slide.read(first.centre_yx, first.shape_px, 0.25), full[10:110, 20:120])


def test_the_last_cores_end_with_the_bounds_but_are_read_at_full_size():
    tiles = grid((0, 0, 100, 250), (0.25, 0.25), 0.5, 50, 5)
    assert [each.core for each in tiles] == [(0, 0, 100, 100), (0, 100, 100, 200), (0, 200, 100, 250)]
    assert {each.shape_px for each in tiles} == {(60, 60)}
    assert grid((0, 0, 0, 0), (0.25, 0.25), 0.5, 50, 5) == []


@pytest.mark.parametrize(("mpp", "tile", "halo"), [(0, 5, 1), (0.5, 0, 1), (0.5, 5, -1)])
def test_a_grid_of_nothing_is_a_mistake(mpp, tile, halo):
    with pytest.raises(ValueError, match="grid"):
        grid((0, 0, 9, 9), (0.25, 0.25), mpp, tile, halo)


def test_crops_keep_the_order_of_the_cells(tmp_path):
    full = texture(2500, 2500)
    yx = np.random.default_rng(3).integers(20, 2480, (40, 2)).astype(float)
    with open_slide(write_tiff(tmp_path / "a.tif", full), mpp=0.25) as slide:
        windows = crops(slide, yx, 15, 0.25)
        assert windows.shape == (40, 15, 15, 3)
        for (y, x), window in zip(yx.astype(int), windows, strict=True):
            assert np.array_equal(window, full[y - 7 : y + 8, x - 7 : x + 8])
        assert crops(slide, np.zeros((0, 2)), 15, 0.25).shape == (0, 15, 15, 3)


def test_prefetch_gives_results_in_order_and_only_a_few_ahead():
    begun = []

    def square(n):
        begun.append(n)
        return n * n

    results = prefetch(range(50), square, threads=2, ahead=2)
    assert next(results) == 0
    assert len(begun) <= 4
    assert list(results) == [n * n for n in range(1, 50)]


def test_closing_prefetch_leaves_no_thread_behind():
    results = prefetch(range(1000), lambda n: n)
    assert next(results) == 0
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("deepheme-read")]


def test_prefetch_hands_on_the_fault_of_a_tile():
    def fail(n):
        raise ValueError("tile 3 is damaged") if n == 3 else KeyError

    results = prefetch([3], fail)
    with pytest.raises(ValueError, match="tile 3"):
        next(results)
    assert not [t for t in threading.enumerate() if t.name.startswith("deepheme-read")]
