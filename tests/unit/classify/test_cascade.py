"""Members asked in turn: whom, of which cells, and what is said of those that were settled early."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_deepheme.classify.bundle import Bundle, Cascade, load_bundle
from napari_deepheme.classify.cascade import Settling, ask_in_turn, passes
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.errors import OptionError
from napari_deepheme.models.bundle import SPEC_FILE
from napari_deepheme.models.device import Device

SURE, UNSURE = [0.9, 0.1], [0.55, 0.45]


def test_a_member_is_asked_only_of_cells_that_those_before_left_open():
    said = np.array([[SURE, UNSURE, UNSURE, SURE], [UNSURE, SURE, UNSURE, SURE], [SURE] * 4])
    distances = np.array([[1.0, 1, 1, 3], [1, 2, 1, 3], [1, 1, 4, 0]])
    asked: list[list[int]] = []

    def ask(member: int, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(cells.tolist())
        return said[member, cells], distances[member, cells]

    raw = ask_in_turn(ask, 3, 4, Settling(0.7, farthest=2.5))
    # the second is settled by the mean of two, the last is too far for any number of sure members
    assert asked == [[0, 1, 2, 3], [1, 2, 3], [2, 3]]
    np.testing.assert_array_equal(
        np.isnan(raw.members).all(axis=2), [[False] * 4, [True] + [False] * 3, [True, True, False, False]]
    )
    np.testing.assert_allclose(raw.members[1, 1], SURE, atol=1e-3)
    np.testing.assert_allclose(raw.distance, [1, 1.5, 2, 2])
    assert passes(raw) == 9 / 12


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (5, 96, 96, 3), np.uint8)


def test_what_is_never_settled_is_what_all_members_say(toy_bundle, crops):
    ensemble = Ensemble(toy_bundle, Device.CPU)
    whole, asked = ensemble.run(crops), ensemble.run(crops, settling=Settling(1.1))
    np.testing.assert_allclose(asked.members, whole.members, atol=1e-3)
    np.testing.assert_array_equal(asked.distance, whole.distance)


def test_what_the_first_settles_is_what_the_first_says(toy_bundle, crops):
    ensemble = Ensemble(toy_bundle, Device.CPU)
    whole, asked = ensemble.run(crops), ensemble.run(crops, settling=Settling(0.0))
    np.testing.assert_allclose(asked.members[0], whole.members[0], atol=1e-3)
    assert np.isnan(asked.members[1]).all()
    assert len(ensemble.run(crops[:0], settling=Settling(0.0))) == 0


def changed(bundle: Bundle, **changes: object) -> Bundle:
    return replace(bundle, spec=bundle.spec.model_copy(update=changes))


def test_only_a_threshold_that_was_chosen_for_a_model_is_taken(toy_bundle):
    cascade = Cascade(threshold=0.7, changed=0.002)
    own = changed(toy_bundle, cascade=cascade)
    assert own.spec.settling().threshold == 0.7
    with pytest.raises(OptionError, match="has no threshold for a cascade"):
        changed(toy_bundle, cascade=None).spec.settling()


def test_a_bundle_from_before_cascades_is_read(toy_bundle_folder, tmp_path):
    shutil.copytree(toy_bundle_folder, tmp_path / "old")
    file = tmp_path / "old" / SPEC_FILE
    spec = json.loads(file.read_text())
    del spec["cascade"]
    file.write_text(json.dumps(spec))
    assert load_bundle(tmp_path / "old").spec.cascade is None
