"""Keys of classes: defaults, HemeLabel's, a person's own."""

from __future__ import annotations

import pytest

from napari_deepheme.errors import OptionError, OutputError
from napari_deepheme.taxonomy import DEEPHEME_23, MUNICH_21, PBC_11
from napari_deepheme.ui.review.keys import (
    HEMELABEL,
    NEXT_KEY,
    NO_CELL_KEY,
    ClassKeys,
    default_keys,
    offered_classes,
    read_keys,
    write_keys,
)


@pytest.mark.parametrize("taxonomy", [DEEPHEME_23, PBC_11, MUNICH_21], ids=lambda each: each.name)
def test_every_class_offered_has_a_key_of_its_own_that_no_action_has(taxonomy):
    classes = offered_classes(taxonomy)
    keys = default_keys(classes).codes
    assert sorted(keys.values()) == sorted(each.code for each in classes)
    assert not {NEXT_KEY, NO_CELL_KEY} & keys.keys()


def test_granulocytes_lie_on_the_digits_by_maturation():
    keys = default_keys(DEEPHEME_23.classes)
    assert [keys.codes[key] for key in "123456"] == ["M1", "M2", "M3", "M4", "M5", "M6"]


def test_classes_the_model_does_not_know_are_offered_but_none_twice():
    codes = [each.code for each in offered_classes(PBC_11)]
    assert codes[:11] == list(PBC_11.codes)
    assert {"M1", "L4", "ER1"} <= set(codes)
    assert "ER3" not in codes  # EBO is that
    assert offered_classes(DEEPHEME_23) == DEEPHEME_23.classes
    assert "M1" not in [each.code for each in offered_classes(MUNICH_21)]  # BLA is


def test_hemelabels_keys():
    rows = {"M1 M2 M3 M4 M5 M6": "123456", "E1 E4 B1 B2 MO1 MO2": "qwerty", "L0 L1 L2 L3 L4": "asdfg"}
    rows |= {"ER1 ER2 ER3 ER4 ER5 ER6": "zxcvbn", "PL1 PL2 PL3 PL4": "m,./", "U1 U2 U3 U4 UL": "7890u"}
    assert {
        key: code for codes, keys in rows.items() for code, key in zip(codes.split(), keys, strict=True)
    } == HEMELABEL


def test_a_key_that_is_taken_is_refused_in_a_sentence():
    keys = ClassKeys({"1": "M1", "2": "M2"})
    with pytest.raises(
        OptionError, match=r"'2' already means M2; give M2 another key first, or choose one of 3 4"
    ):
        keys.with_key("2", "M1")
    assert keys.with_key("Q", "M1").codes == {"2": "M2", "q": "M1"}
    assert keys.with_key("1", "M1").codes == keys.codes
    assert keys.without("M1").with_key("1", "M2").codes == {"1": "M2"}


@pytest.mark.parametrize("key", ["", " ", "F1", "A", "\t"])
def test_what_is_no_key(key):
    with pytest.raises(OptionError, match="one small letter, digit or sign"):
        ClassKeys({key: "M1"})


def test_keys_are_kept_for_each_taxonomy(tmp_path):
    path = tmp_path / "config" / "keys.toml"
    assert read_keys("pbc-11", path) is None
    write_keys("pbc-11", ClassKeys({"1": "M2", "/": "L2"}), path)
    write_keys("deepheme-23", ClassKeys(HEMELABEL), path)
    assert read_keys("pbc-11", path) == ClassKeys({"1": "M2", "/": "L2"})
    assert read_keys("deepheme-23", path) == ClassKeys(HEMELABEL)


@pytest.mark.parametrize("text", ["= 3", "a = 3", "[pbc-11]\n1 = 2"])
def test_a_file_that_cannot_be_read_says_so(tmp_path, text):
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=r"keys\.toml: expected a table for each taxonomy"):
        read_keys("pbc-11", path)


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the keys cannot be kept"):
        write_keys("pbc-11", ClassKeys({}), tmp_path / "file" / "keys.toml")
