"""The arithmetic of the gallery against a layout made tile by tile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_deepheme.ui.review.grid import Grid, Step

TILE = (10, 12)

grids = st.builds(
    Grid,
    st.lists(st.integers(0, 9), min_size=1, max_size=6),
    st.integers(1, 4),
    st.just(TILE),
    st.sampled_from([0, 5]),
)


def laid_out(grid):
    """Places of all tiles, one after another."""
    places, y = [], 0
    for size in grid.groups:
        y += grid.heading
        for i in range(size):
            places.append((i % grid.columns * TILE[0], y + i // grid.columns * TILE[1]))
        y += -(-size // grid.columns) * TILE[1]
    return places, y


@given(grids)
def test_every_tile_lies_where_a_layout_by_hand_puts_it(grid):
    places, height = laid_out(grid)
    assert [grid.place(i) for i in range(grid.count)] == places
    assert grid.height == height


@given(grids)
def test_a_point_in_a_tile_finds_it_and_a_heading_finds_none(grid):
    for i in range(grid.count):
        x, y = grid.place(i)
        assert grid.index_at(x, y) == i
        assert grid.index_at(x + TILE[0] - 1, y + TILE[1] - 1) == i
    assert grid.index_at(grid.columns * TILE[0], 0) is None
    assert grid.index_at(0, grid.height) is None
    if grid.heading:
        assert grid.index_at(0, 0) is None


@given(grids, st.integers(-20, 300), st.integers(1, 100))
def test_what_is_between_two_heights(grid, top, size):
    bottom = top + size
    wanted = [i for i in range(grid.count) if grid.place(i)[1] < bottom and grid.place(i)[1] + TILE[1] > top]
    assert list(grid.between(top, bottom)) == wanted
    headings = [
        g
        for g in range(len(grid.groups))
        if grid.heading and grid.heading_top(g) < bottom and grid.heading_top(g) + grid.heading > top
    ]
    assert list(grid.headings_between(top, bottom)) == headings


@given(grids, st.sampled_from(Step), st.integers(0, 100))
def test_steps_stay_among_the_tiles_and_down_leads_below(grid, step, where):
    if not grid.count:
        return
    index = where % grid.count
    there = grid.stepped(index, step, page=30)
    assert 0 <= there < grid.count
    (_, y), (_, new_y) = grid.place(index), grid.place(there)
    if step in (Step.DOWN, Step.PAGE_DOWN):
        assert new_y > y or there == index
    if step in (Step.UP, Step.PAGE_UP):
        assert new_y < y or there == index


def test_down_then_up_returns():
    grid = Grid([7, 5], 3, TILE, 5)
    assert grid.stepped(grid.stepped(1, Step.DOWN, 10), Step.UP, 10) == 1
    assert grid.stepped(5, Step.DOWN, 10) == 6
    assert grid.stepped(6, Step.DOWN, 10) == 7
