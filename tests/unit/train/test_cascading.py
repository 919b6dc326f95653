import numpy as np
import pytest

from napari_deepheme.train.cascading import choose_cascade


def outputs(confidence: np.ndarray, agreed: np.ndarray) -> np.ndarray:
    """A first member so sure of class 0, and a second that is surer, of the same or of the other class."""
    first = np.stack([confidence, 1 - confidence], axis=1)
    second = np.where(agreed[:, None], [1.0, 0.0], [0.0, 1.0])
    return np.stack([first, second])


@pytest.fixture
def confidence() -> np.ndarray:
    return np.linspace(0.505, 0.995, 1000)


def near(members: np.ndarray) -> np.ndarray:
    return np.zeros(members.shape[:2])


def test_the_threshold_is_the_lowest_at_which_the_calls_stay(confidence):
    # the second member overturns the first wherever that is below 0.8
    members = outputs(confidence, confidence >= 0.8)
    chosen = choose_cascade(members, near(members), 1.0)
    assert chosen is not None
    assert chosen.threshold == 0.8
    assert chosen.changed == 0.002


def test_two_calls_of_a_thousand_may_change_and_no_third(confidence):
    agreed = np.ones(1000, bool)
    agreed[[900, 700, 400]] = False
    members = outputs(confidence, agreed)
    chosen = choose_cascade(members, near(members), 1.0)
    assert chosen is not None
    assert confidence[400] < chosen.threshold < confidence[400] + 0.01


def test_cells_of_which_everyone_is_asked_do_not_count(confidence):
    members = outputs(confidence, confidence >= 0.8)
    far = np.tile(np.where(confidence < 0.8, 2.0, 0.0), (2, 1))
    chosen = choose_cascade(members, far, 1.0)
    assert chosen is not None
    assert chosen.threshold == 0.5


def test_nothing_is_chosen_where_nothing_can_be_seen(confidence):
    members = outputs(confidence, np.ones(1000, bool))
    assert choose_cascade(members[:, :400], near(members[:, :400]), 1.0) is None
    assert choose_cascade(members[:1], near(members[:1]), 1.0) is None
    surely_wrong = outputs(np.full(1000, 0.995), np.zeros(1000, bool))
    assert choose_cascade(surely_wrong, near(surely_wrong), 1.0) is None
