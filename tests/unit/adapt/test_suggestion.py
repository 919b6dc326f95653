import numpy as np

from napari_deepheme.adapt.suggestion import suggest


def members(rows: list[list[float]]) -> np.ndarray:
    return np.array([rows, rows], np.float32)


def test_the_doubtful_come_before_the_sure():
    rows = [[0.98, 0.01, 0.01], [0.34, 0.33, 0.33], [0.9, 0.05, 0.05]]
    assert suggest(members(rows))[0] == 1


def test_a_cell_like_one_chosen_waits_for_others():
    rows = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.55, 0.45]]
    places = np.array([[0.0, 0.0], [0.01, 0.0], [5.0, 5.0]])
    order = suggest(members(rows), places)
    assert order.tolist()[1] == ({0, 1, 2} - {order[0]}).intersection({2} if order[0] != 2 else {0, 1}).pop()
    assert sorted(order) == [0, 1, 2]


def test_classes_in_need_come_first():
    rows = [[0.6, 0.4, 0.0, 0.0], [0.0, 0.0, 0.6, 0.4], *([[1.0, 0, 0, 0]] * 6)]
    labelled = np.array([False, False] + [True] * 6)
    places = np.zeros((8, 2))
    places[:2] = [[1, 0], [0, 1]]
    assert suggest(members(rows), places, labelled).tolist() == [1, 0]


def test_what_is_labelled_is_never_suggested_and_the_number_is_kept():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), (2, 30))
    labelled = rng.random(30) < 0.5
    order = suggest(probabilities, labelled=labelled, labels=rng.integers(4, size=30), n=5)
    assert len(set(order.tolist())) == 5
    assert not labelled[order].any()
    everything = suggest(probabilities, labelled=labelled, labels=np.zeros(30, int))
    assert sorted(everything) == np.flatnonzero(~labelled).tolist()
    assert len(suggest(probabilities[:, :0])) == 0
