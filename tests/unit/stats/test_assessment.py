"""Calls and uncertainties from raw outputs, built as the shipped path builds them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_deepheme.cells import RawOutputs
from napari_deepheme.errors import OptionError
from napari_deepheme.stats.assessment import (
    Assessment,
    AssessmentOptions,
    ModelCalibration,
    ReviewReason,
    assess,
    calibrated,
)
from napari_deepheme.taxonomy import PBC_11, Taxonomy

FOUR = Taxonomy("four", PBC_11.classes[:4])


def raw(members: object, distance: float = 0.0) -> RawOutputs:
    values = np.asarray(members, np.float64)
    return RawOutputs(values, np.full(values.shape[1], distance))


def model(**known: object) -> ModelCalibration:
    return ModelCalibration(FOUR, **known)


def one_hot(*classes: int) -> RawOutputs:
    """One cell that each member is sure of."""
    return raw(np.eye(4)[list(classes)][:, None])


def check_bounds(found: Assessment) -> None:
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    assert (found.mutual_information >= 0).all()
    assert (found.mutual_information <= found.entropy + 1e-12).all()
    assert (found.entropy <= np.log(4) + 1e-9).all()
    assert found.conformal.any(axis=1).all()


@given(
    arrays(np.float32, (3, 5, 4), elements=st.floats(0, 1, width=32)),
    st.floats(0.2, 5),
    arrays(np.float64, 4, elements=st.floats(0.01, 1)),
    st.sampled_from([0.0, 9.0]),
)
def test_bounds_hold_at_any_temperature_and_prior(outputs, temperature, prior, distance):
    outputs = (outputs + 1e-9) / (outputs + 1e-9).sum(axis=2, keepdims=True)
    calibration = model(temperature=temperature, ood_threshold=3.0, class_prior=(0.1, 0.2, 0.3, 0.4))
    check_bounds(assess(raw(outputs, distance), calibration, (prior / prior.sum()).tolist()))


def test_members_voting_two_to_one_never_know_more_than_there_is_to_know():
    # members left at temperature 1 had information 0.637 of an entropy of 0.574
    found = assess(one_hot(0, 0, 1), model(temperature=0.666))
    assert found.entropy[0] == pytest.approx(0.574, abs=0.001)
    assert found.mutual_information[0] == pytest.approx(found.entropy[0], abs=1e-4)
    assert found.votes.tolist() == [[0, 0, 1]]
    assert found.agreement[0] == pytest.approx(2 / 3)


def test_members_that_agree_carry_no_information():
    same = np.tile(np.array([[[0.5, 0.25, 0.125, 0.125]]]), (4, 1, 1))
    found = assess(raw(same), model())
    assert found.mutual_information[0] < 1e-6
    assert found.agreement[0] == 1
    assert (found.call[0], found.second[0]) == (0, 1)
    assert found.entropy[0] == pytest.approx(1.75 * np.log(2))


def test_members_sure_of_different_classes_disagree_by_log_two():
    found = assess(one_hot(0, 1), model())
    assert found.mutual_information[0] == pytest.approx(np.log(2), abs=1e-5)


def test_the_temperature_follows_the_mean_and_never_makes_strange_cells_surer():
    members = np.array([[[0.5, 0.25, 0.125, 0.125]], [[0.25, 0.5, 0.125, 0.125]]])
    mean = members.mean(axis=0)[0]
    sharp = model(temperature=0.5, ood_threshold=3.0)
    np.testing.assert_allclose(calibrated(raw(members, 1.0), sharp)[0], mean**2 / (mean**2).sum(), atol=1e-6)
    np.testing.assert_allclose(calibrated(raw(members, 4.0), sharp)[0], mean, atol=1e-6)
    soft = model(temperature=2.0, ood_threshold=3.0)
    np.testing.assert_allclose(calibrated(raw(members, 4.0), soft), calibrated(raw(members, 1.0), soft))


def test_the_raw_outputs_are_left_as_they_are():
    outputs = one_hot(0, 0, 1)
    before = outputs.members.copy()
    assess(outputs, model(temperature=0.5, class_prior=(0.25,) * 4), (0.1, 0.7, 0.1, 0.1))
    np.testing.assert_array_equal(outputs.members, before)


def test_thresholds_hold_for_the_probabilities_they_were_fitted_on():
    unsure = raw([[[0.5, 0.4375, 0.03125, 0.03125]]])
    known = model(class_prior=(0.25,) * 4, review_threshold=2.0, conformal_threshold=0.45)
    prior = (0.1, 0.7, 0.1, 0.1)
    shifted, plain = assess(unsure, known, prior), assess(unsure, known)
    assert (plain.call[0], shifted.call[0]) == (0, 1)
    # the entropy that is compared and the conformal set are those under the training prior
    assert shifted.trained_entropy[0] == plain.entropy[0] != shifted.entropy[0]
    np.testing.assert_array_equal(shifted.conformal, plain.conformal)
    # no threshold was fitted for a call that the prior alone made
    assert plain.review[0] == 0
    assert shifted.review[0] == ReviewReason.PRIOR
    off = assess(unsure, known, prior, AssessmentOptions(match_prior=False))
    np.testing.assert_array_equal(off.probabilities, plain.probabilities)


def test_why_a_person_should_look():
    known = model(review_threshold=0.5, ood_threshold=2.0)
    sure, unsure = [0.97, 0.01, 0.01, 0.01], [0.5, 0.5, 0.0, 0.0]
    near, far = (assess(raw([[sure, unsure]], d), known).review.tolist() for d in (1.0, 3.0))
    assert near == [0, ReviewReason.UNSURE]
    assert far == [ReviewReason.UNLIKE, ReviewReason.UNSURE | ReviewReason.UNLIKE]
    asked = assess(raw([[sure, unsure]], 1.0), known, None, AssessmentOptions(review_threshold=0.01))
    assert asked.needs_review.all()


def test_many_cells_are_assessed_as_few_are():
    outputs = raw(np.random.default_rng(0).dirichlet(np.ones(4), (2, 45_000)))
    every = assess(outputs, model(temperature=0.7))
    some = assess(outputs.take(slice(44_000, 44_100)), model(temperature=0.7))
    np.testing.assert_array_equal(every.take(slice(44_000, 44_100)).entropy, some.entropy)
    assert len(assess(outputs.take(slice(0, 0)), model())) == 0


@pytest.mark.parametrize("wrong", [{"detection_threshold": 1.5}, {"review_threshold": -1.0}])
def test_thresholds_out_of_range_are_refused(wrong):
    with pytest.raises(OptionError, match="threshold"):
        AssessmentOptions(**wrong)


@given(
    arrays(np.float32, (3, 6, 4), elements=st.floats(0, 1, width=32)),
    st.floats(0.2, 5),
    arrays(np.float64, 4, elements=st.floats(0.01, 1)),
)
def test_a_cell_is_judged_by_the_members_that_were_asked(outputs, temperature, prior):
    outputs = (outputs + 1e-9) / (outputs + 1e-9).sum(axis=2, keepdims=True)
    calibration = model(temperature=temperature, class_prior=(0.1, 0.2, 0.3, 0.4))
    shifted = (prior / prior.sum()).tolist()
    asked = outputs.copy()
    asked[1:, :2] = np.nan
    asked[2, 2:4] = np.nan
    found = assess(raw(asked), calibration, shifted)
    for members, cells in ((1, slice(2)), (2, slice(2, 4)), (3, slice(4, 6))):
        alone = assess(raw(outputs[:members, cells]), calibration, shifted)
        part = found.take(cells)
        np.testing.assert_allclose(part.probabilities, alone.probabilities, atol=1e-6)
        np.testing.assert_allclose(part.trained_entropy, alone.trained_entropy)
        np.testing.assert_array_equal(part.votes[:, :members], alone.votes)
        assert (part.votes[:, members:] == -1).all()
        np.testing.assert_allclose(part.agreement, alone.agreement)
        if members > 1:
            np.testing.assert_allclose(part.mutual_information, alone.mutual_information, atol=1e-9)
    # how the members differ is not known of a cell that one alone was asked of
    assert np.isnan(found.mutual_information[:2]).all()
