import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_deepheme.stats.detection import DetectionCounts, detection_counts, inside, matches

NOTHING = np.zeros((0, 2))
PLACES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)


def points(*yx: tuple[float, float]) -> np.ndarray:
    return np.array(yx, float).reshape(-1, 2)


def test_a_cell_found_twice_counts_once_and_once_too_many():
    counts = detection_counts(points((10, 10), (11, 10)), points((10, 10)), points((5, 5)))
    assert counts == DetectionCounts(both=1, only_found=1, only_marked=0)


def test_the_nearest_of_two_found_ones_gets_the_mark():
    found = points((13, 10), (10.5, 10))
    assert matches(found, points((10, 10)), points((5, 5))).tolist() == [[1, 0]]


def test_one_found_between_two_marks_counts_for_one_of_them():
    counts = detection_counts(points((10, 10)), points((8, 10), (12, 10)), points((5, 5), (5, 5)))
    assert counts == DetectionCounts(both=1, only_found=0, only_marked=1)


def test_as_many_pairs_as_can_be_even_if_each_mark_would_rather_have_the_same_one():
    # the first found lies nearest to both marks, the second reaches only the left one
    found, centres = points((0, 10), (0, 4)), points((0, 9), (0, 14))
    pairs = matches(found, centres, points((6, 6), (6, 6)))
    assert sorted(pairs.tolist()) == [[0, 1], [1, 0]]


def test_a_centre_is_right_within_its_box_and_up_to_its_edge():
    tall = points((8, 3))
    for at, hit in (((8, 0), True), ((8.1, 0), False), ((0, 3), True), ((0, 3.1), False), ((7, 2), True)):
        assert len(matches(points(at), points((0, 0)), tall)) == hit


def test_a_point_is_inside_if_any_box_holds_it():
    boxes = np.array([(0, 0, 4, 8), (20, 20, 2, 2)], float)
    places = points((2, 4), (2.1, 0), (20, 21), (10, 10))
    assert inside(places, boxes).tolist() == [True, False, True, False]
    assert inside(places, np.zeros((0, 4))).tolist() == [False] * 4


@pytest.mark.parametrize(
    ("found", "marked", "expected"),
    [
        (0, 0, DetectionCounts(0, 0, 0)),
        (3, 0, DetectionCounts(0, 3, 0)),
        (0, 2, DetectionCounts(0, 0, 2)),
    ],
)
def test_an_image_without_cells_or_without_finds_is_counted(found, marked, expected):
    counts = detection_counts(np.zeros((found, 2)), np.zeros((marked, 2)), np.ones((marked, 2)))
    assert counts == expected


def test_figures_are_nan_where_there_is_nothing_to_divide_by():
    nothing = DetectionCounts()
    assert all(math.isnan(value) for value in (nothing.precision, nothing.recall, nothing.f1))
    none_found = DetectionCounts(only_marked=4)
    assert math.isnan(none_found.precision)
    assert (none_found.recall, none_found.f1) == (0.0, 0.0)
    none_marked = DetectionCounts(only_found=4)
    assert math.isnan(none_marked.recall)
    assert (none_marked.precision, none_marked.f1) == (0.0, 0.0)


def test_figures_of_several_images_are_those_of_their_sum():
    total = sum((DetectionCounts(8, 2, 0), DetectionCounts(1, 0, 3)), DetectionCounts())
    assert total == DetectionCounts(9, 2, 3)
    assert total.precision == pytest.approx(9 / 11)
    assert total.recall == pytest.approx(9 / 12)
    assert total.f1 == pytest.approx(2 * 9 / (2 * 9 + 2 + 3))


@given(PLACES, PLACES, st.integers(1, 12))
def test_pairs_are_one_to_one_within_reach_and_add_up(found, marked, half):
    found, marked = points(*found), points(*marked)
    reach = np.full_like(marked, half)
    pairs = matches(found, marked, reach)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    assert (np.abs(found[pairs[:, 0]] - marked[pairs[:, 1]]) <= half).all()
    counts = detection_counts(found, marked, reach)
    assert (counts.both + counts.only_found, counts.both + counts.only_marked) == (len(found), len(marked))
