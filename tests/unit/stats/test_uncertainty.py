import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_deepheme.cells import Predictions
from napari_deepheme.stats.uncertainty import uncertainty


def predictions(members: np.ndarray) -> Predictions:
    return Predictions(members, members.mean(axis=0))


def test_members_that_agree_carry_no_information_about_each_other():
    same = np.tile(np.array([[[0.7, 0.2, 0.1]]], np.float32), (4, 1, 1))
    doubt = uncertainty(predictions(same))
    assert doubt.mutual_information[0] < 1e-6
    assert doubt.agreement[0] == 1
    np.testing.assert_allclose(doubt.margin, 0.5, atol=1e-6)
    np.testing.assert_allclose(
        doubt.entropy, -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)), atol=1e-6
    )


def test_members_sure_of_different_classes_disagree_by_log_two():
    members = np.array([[[1, 0, 0]], [[0, 1, 0]]], np.float32)
    doubt = uncertainty(predictions(members))
    np.testing.assert_allclose(doubt.mutual_information, np.log(2), atol=1e-6)
    assert doubt.agreement[0] == 0.5


@given(arrays(np.float32, (3, 5, 4), elements=st.floats(0.015625, 1.0, width=32)))
def test_bounds_hold_for_any_ensemble(raw: np.ndarray):
    doubt = uncertainty(predictions(raw / raw.sum(axis=2, keepdims=True)))
    assert (doubt.mutual_information >= 0).all()
    assert (doubt.mutual_information <= doubt.entropy + 1e-5).all()
    assert (doubt.entropy <= np.log(4) + 1e-5).all()
    assert ((doubt.margin >= 0) & (doubt.margin <= 1)).all()
