import pytest

from napari_deepheme.taxonomy import DEEPHEME_23, MUNICH_21, MUNICH_TO_DEEPHEME, PBC_11, Taxonomy, codes_meant

MUNICH = "ABE ART BAS BLA EBO EOS FGC HAC KSC LYI LYT MMZ MON MYB NGB NGS NIF OTH PEB PLM PMO"


def test_the_munich_set_has_its_published_classes():
    assert " ".join(MUNICH_21.codes) == MUNICH
    assert set(MUNICH_21.codes) - MUNICH_21.counted_codes == {"ART", "KSC", "NIF", "OTH"}


@pytest.mark.parametrize(
    ("taxonomy", "line"),
    [
        (DEEPHEME_23, ("M1", "M2", "M3", "M4", "M5", "M6")),
        (DEEPHEME_23, ("ER1", "ER2", "ER3", "ER4", "ER5", "ER6")),
        (DEEPHEME_23, ("E1", "E4")),
        (MUNICH_21, ("BLA", "PMO", "MYB", "MMZ", "NGB", "NGS")),
        (MUNICH_21, ("PEB", "EBO")),
        (PBC_11, ("M2", "M3", "M4", "M5", "M6")),
    ],
)
def test_each_set_has_the_maturation_lines_in_its_own_codes(taxonomy, line):
    assert line in taxonomy.lines


def test_a_missing_stage_cuts_the_line_so_that_two_steps_are_not_forgiven():
    gap = Taxonomy("gap", tuple(DEEPHEME_23[code] for code in ("M1", "M2", "M4", "M5")))
    assert gap.lines == (("M1", "M2"), ("M4", "M5"))


def test_a_coarse_name_is_all_the_classes_it_covers_never_one_of_them():
    assert codes_meant("EBO", DEEPHEME_23) == ("ER2", "ER3", "ER4")
    assert codes_meant("EOS", DEEPHEME_23) == ("E1", "E4")
    assert codes_meant("ERB", DEEPHEME_23) == ("ER2", "ER3", "ER4")
    assert codes_meant("EBO", PBC_11) == ("EBO",)
    assert codes_meant("ER3", MUNICH_21) == ("EBO",)


def test_folder_names_of_one_set_are_understood_by_models_of_another():
    assert [codes_meant(name, PBC_11) for name in ("NGS", "LYT", "EOS", "basophil", "KSC")] == [
        ("M6",),
        ("L2",),
        ("E4",),
        ("B2",),
        ("U1",),
    ]
    assert [codes_meant(name, MUNICH_21) for name in ("SNE", "M1", "EO")] == [("NGS",), ("BLA",), ("EOS",)]


def test_a_class_the_model_does_not_have_means_nothing_to_it():
    assert codes_meant("BLA", PBC_11) == ()
    assert codes_meant("HAC", DEEPHEME_23) == ()
    assert codes_meant("Unicorn", DEEPHEME_23) == ()


def test_the_map_agrees_with_the_aliases_wherever_it_is_one_to_one():
    for code, covered in MUNICH_TO_DEEPHEME.items():
        assert codes_meant(code, DEEPHEME_23) == covered
