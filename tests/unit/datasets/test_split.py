from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_deepheme.datasets.dataset import TrainingImage
from napari_deepheme.datasets.split import Split, split_images
from napari_deepheme.errors import OptionError, TableError


def made(codes: str, patients: str = "", splits: tuple[str, ...] = ()) -> list[TrainingImage]:
    return [
        TrainingImage(
            Path(f"{i}.png"),
            code,
            code,
            patient=patients[i] if patients else None,
            split=splits[i] if splits else None,
        )
        for i, code in enumerate(codes)
    ]


def split(images: list[TrainingImage], share: float = 0.1, seed: int = 0) -> Split:
    return split_images(images, np.arange(len(images)), share, seed)


def test_a_given_split_is_kept():
    found = split(made("ABAB", splits=("train", "train", "val", "val")), share=0.9)
    assert (found.train.tolist(), found.val.tolist(), found.by) == ([0, 1], [2, 3], "as given")
    assert found.warnings == ()


def test_a_class_only_one_half_has_is_told_of():
    found = split(made("ABAC", splits=("train", "train", "val", "val")))
    assert found.warnings == ("No image to train on of C.", "No image to validate with of B.")


def test_images_of_a_patient_stay_together():
    found = split(made("AB" * 20, patients="".join(c * 4 for c in "abcdefghij")), share=0.2)
    assert found.by == "by patient"
    assert found.warnings == ()
    assert len(found.val) == 8
    assert set(Counter(i // 4 for i in found.val).values()) == {4}


def test_patients_are_chosen_to_meet_the_share_and_the_classes():
    # only d and e together are a fifth of the cells and half A, half B
    patients = "a" * 16 + "b" * 16 + "c" * 8 + "d" * 5 + "e" * 5
    codes = "AB" * 20 + "A" * 5 + "B" * 5
    assert split(made(codes, patients), share=0.2).val.tolist() == list(range(40, 50))


def test_patients_who_share_a_picture_are_one():
    groups = np.array([0, 1, 1, 2, 3, 4])
    for seed in range(10):
        found = split_images(made("AAAAAA", patients="aabbcc"), groups, 0.3, seed)
        assert found.val.tolist() == [4, 5] or found.val.tolist() == [0, 1, 2, 3]


def test_large_patients_that_miss_the_share_are_told_of():
    found = split(made("A" * 20, patients="a" * 10 + "b" * 10), share=0.1)
    assert found.warnings == (
        "50% of the images are kept for validation, not 10%: patients and duplicates are kept whole.",
    )


def test_without_patients_the_split_is_by_image_and_says_that_it_flatters():
    found = split(made("A" * 80 + "B" * 20))
    assert found.by == "by image"
    assert "accuracy is optimistic" in found.warnings[0]
    assert Counter(i >= 80 for i in found.val) == {False: 8, True: 2}


def test_a_rare_class_is_learnt_rather_than_validated():
    found = split(made("A" * 50 + "B"), share=0.5)
    assert 50 in found.train
    assert "No image to validate with of B." in found.warnings


def test_the_same_seed_gives_the_same_split_and_another_another():
    images = made("AB" * 50)
    assert split(images, seed=1).val.tolist() == split(images, seed=1).val.tolist()
    assert split(images, seed=1).val.tolist() != split(images, seed=2).val.tolist()


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (made("AAA", patients="ppp"), OptionError, "of patient p, so none can be kept"),
        (made("AABB", patients="aabb"), OptionError, "None of 2 patients.* holds all images of a class"),
        (made("ABC"), OptionError, "None of 3 patients, or images"),
        (made("AB", splits=("val", "val")), OptionError, "All 2 images are in val"),
        (made("AB", splits=("train", None)), TableError, "1 of 2 images have no split"),
        (made("ABC", patients=("p", "q", None)), TableError, "1 of 3 images have no patient"),
        ([], OptionError, "None of 0"),
    ],
)
def test_what_cannot_be_split_is_said_with_its_remedy(images, error, message):
    with pytest.raises(error, match=message):
        split(images)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(OptionError, match="share to validate with"):
        split(made("AAAA"), share=share)


def test_groups_of_other_images_are_a_fault_of_the_caller():
    with pytest.raises(ValueError, match="a group for each of 2 images, got 3"):
        split_images(made("AA"), np.arange(3), 0.1, 0)


@given(st.data(), st.booleans(), st.floats(0.01, 0.99), st.integers(0, 9))
def test_whatever_the_set_no_patient_and_no_picture_is_on_both_sides(data, by_patient, share, seed):
    n = data.draw(st.integers(2, 40))
    codes = data.draw(st.text("ABC", min_size=n, max_size=n))
    patients = data.draw(st.text("pqrstu", min_size=n, max_size=n)) if by_patient else ""
    groups = np.array(data.draw(st.lists(st.integers(0, 30), min_size=n, max_size=n)), np.intp)
    try:
        found = split_images(made(codes, patients), groups, share, seed)
    except OptionError:
        return
    assert sorted([*found.train, *found.val]) == list(range(n))
    assert len(found.train)
    assert len(found.val)
    assert (np.diff(found.train) > 0).all()
    assert (np.diff(found.val) > 0).all()
    assert not set(groups[found.train]) & set(groups[found.val])
    assert {codes[i] for i in found.train} == set(codes)
    if by_patient:
        assert not {patients[i] for i in found.train} & {patients[i] for i in found.val}


@given(st.text("ABCDE", min_size=20, max_size=80), st.floats(0.1, 0.4))
def test_single_images_keep_every_class_near_its_share(codes, share):
    sizes = Counter(codes)
    if max(sizes.values()) < 2:
        return
    kept = Counter(codes[i] for i in split(made(codes), share).val)
    assert all(abs(kept[code] - share * size) <= 1 for code, size in sizes.items())
