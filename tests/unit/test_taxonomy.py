import pytest

from napari_deepheme.errors import TaxonomyError
from napari_deepheme.taxonomy import (
    DEEPHEME_23,
    PBC_11,
    PRESETS,
    Lineage,
    known_classes,
    preset,
    read_taxonomy,
)

PBC_FOLDERS = ("PMY", "MY", "MMY", "BNE", "SNE", "ERB", "EO", "BA", "LY", "MO")


def test_the_networks_output_order_is_the_sorted_code_list():
    published = "B1 B2 E1 E4 ER1 ER2 ER3 ER4 ER5 ER6 L2 L4 M1 M2 M3 M4 M5 M6 MO2 PL2 PL3 U1 U4"
    assert " ".join(DEEPHEME_23.codes) == published


def test_mast_cell_and_basophil_are_not_swapped():
    assert DEEPHEME_23["B1"].name == "Mast cell"
    assert DEEPHEME_23["B2"].name == "Basophil"


def test_what_the_differential_leaves_out():
    left_out = set(DEEPHEME_23.codes) - DEEPHEME_23.counted_codes
    assert left_out == {"ER5", "ER6", "PL2", "PL3", "U1", "U4"}


def test_folder_names_of_the_blood_set_resolve_to_codes():
    assert PBC_11.resolve(PBC_FOLDERS) == ("M2", "M3", "M4", "M5", "M6", "EBO", "E4", "B2", "L2", "MO2")


def test_unknown_names_are_listed_never_dropped():
    with pytest.raises(TaxonomyError, match="Unicorn"):
        PBC_11.resolve(["PMY", "Unicorn"])
    with pytest.raises(TaxonomyError, match="nothing"):
        preset("nothing")


@pytest.mark.parametrize("taxonomy", PRESETS.values(), ids=PRESETS)
def test_every_class_has_a_colour_of_its_own(taxonomy):
    colours = [cell_class.colour for cell_class in taxonomy.classes]
    assert len(set(colours)) == len(colours)


def test_a_table_with_classes_of_its_own_still_has_a_taxonomy():
    taxonomy = known_classes(["M2", "EBO", "X9"])
    assert taxonomy["M2"] == DEEPHEME_23["M2"]
    assert taxonomy["EBO"].name == "Erythroblast"
    assert taxonomy["X9"].counted


OWN = """
name = "own"
[[classes]]
code = "X"
name = "Thing"
lineage = "lymphoid"
colour = "#102030"
counted = false
aliases = ["Ding"]
[[classes]]
code = "Y"
name = "Other thing"
lineage = "plasma cell"
colour = "#aabbcc"
"""


def test_a_taxonomy_is_a_preset_or_a_file_of_ones_own(tmp_path):
    assert read_taxonomy("pbc-11") is PBC_11
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    own = read_taxonomy(str(path))
    assert (own.name, own.codes, own.counted_codes) == ("own", ("X", "Y"), {"Y"})
    assert (own["X"].lineage, own["X"].aliases) == (Lineage.LYMPHOID, ("Ding",))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lymphoid", "magic", r"classes\.0\.lineage: .*'magic'"),
        ('code = "X"', "", r"classes\.0\.code: "),
        ('"Y"', '"X"', "codes X come twice"),
        ("counted", "count", "unknown fields count; a class has code, name"),
        ("#aabbcc", "red", "colour 'red' of Y; expected #rrggbb"),
        (OWN[OWN.rindex("[[") :], "", "fewer than two classes"),
        ("[[", "[", "cannot be read as TOML"),
    ],
)
def test_a_fault_of_the_file_says_where(tmp_path, old, new, message):
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace(old, new))
    with pytest.raises(TaxonomyError, match=message):
        read_taxonomy(str(path))


def test_neither_a_preset_nor_a_file_lists_the_presets():
    with pytest.raises(
        TaxonomyError, match=r"nowhere\.toml is no file and no taxonomy; there are deepheme-23"
    ):
        read_taxonomy("nowhere.toml")
