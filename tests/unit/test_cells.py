import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_deepheme.cells import Cells, RawOutputs, Region


def cells(n: int) -> Cells:
    yx = np.arange(2 * n, dtype=float).reshape(n, 2)
    return Cells(yx, np.full(n, 7.0), np.linspace(0, 1, n), np.zeros(n))


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected"):
        Cells(np.zeros((3, 2)), np.zeros(2), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="do not fit"):
        RawOutputs(np.zeros((2, 4, 3)), np.zeros(5))


def test_columns_are_read_only_so_that_no_one_moves_a_cell():
    with pytest.raises(ValueError, match="read-only"):
        cells(3).yx[0] = 1.0


def test_taking_and_joining_cells_keeps_their_rows_together():
    joined = Cells.concatenate([cells(3).take(np.array([2, 0])), cells(1)])
    assert joined.yx.tolist() == [[4, 5], [0, 1], [0, 1]]
    assert joined.score.tolist() == [1, 0, 0]
    assert len(Cells.concatenate([])) == 0


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_a_box_holds_the_points_between_its_sides(y: float, x: float):
    inside = bool(Region.box("box", -10, -20, 10, 20).contains(np.array([[y, x]]))[0])
    if abs(abs(y) - 10) > 1e-6 and abs(abs(x) - 20) > 1e-6:
        assert inside == (abs(y) < 10 and abs(x) < 20)


def test_a_concave_region_leaves_out_its_bay():
    region = Region("U", np.array([[0, 0], [10, 0], [10, 10], [0, 10], [0, 7], [7, 7], [7, 3], [0, 3]]))
    assert region.contains(np.array([[5.0, 1.0], [5.0, 5.0], [9.0, 5.0]])).tolist() == [True, False, True]
    assert region.bounds == (0, 0, 10, 10)


def test_a_region_needs_three_corners():
    with pytest.raises(ValueError, match="three"):
        Region("line", np.zeros((2, 2)))
