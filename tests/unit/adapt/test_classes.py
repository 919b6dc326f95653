import pytest

from napari_deepheme.adapt.classes import resolved
from napari_deepheme.errors import OptionError, TaxonomyError
from napari_deepheme.taxonomy import DEEPHEME_23, PBC_11, CellClass, Lineage, Taxonomy


def test_codes_aliases_and_names_are_the_parents_classes_and_new_ones_come_last():
    classes = resolved(["SNE"] * 3 + ["Lymphocyte"] * 3 + ["PLM"] * 4 + ["blast"] * 3, PBC_11)
    assert classes.taxonomy.codes[:11] == PBC_11.codes
    assert {c.code for c in classes.new} == {"L4", "M1"}
    assert {code: n for code, n in classes.counts.items() if n} == {"M6": 3, "L2": 3, "L4": 4, "M1": 3}
    assert [classes.taxonomy.codes[k] for k in classes.labels[[0, 3, 6, 10]]] == ["M6", "L2", "L4", "M1"]


def test_a_class_of_ones_own_comes_from_its_file():
    own = Taxonomy("mine", (CellClass("HL", "Hairy lymphocyte", Lineage.LYMPHOID, "#112233"), PBC_11["L2"]))
    classes = resolved(["HL"] * 3 + ["L2"] * 3, PBC_11, own)
    assert [c.name for c in classes.new] == ["Hairy lymphocyte"]


def test_labels_that_mean_nothing_or_several_classes_are_refused_in_a_sentence():
    with pytest.raises(TaxonomyError, match="No known class means 'thing'"):
        resolved(["thing"] * 3, PBC_11)
    with pytest.raises(TaxonomyError, match="EBO covers ER2, ER3, ER4"):
        resolved(["EBO"] * 3, DEEPHEME_23)


def test_too_few_labels_and_a_single_known_class_are_refused():
    with pytest.raises(OptionError, match=r"Fewer than 3 labelled cells of L2 \(2\)"):
        resolved(["L2"] * 2 + ["M6"] * 3, PBC_11)
    with pytest.raises(OptionError, match="Only cells of M6 are labelled"):
        resolved(["M6"] * 9, PBC_11)
    assert resolved(["PLM"] * 9, PBC_11).new[0].code == "L4"
