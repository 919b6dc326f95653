"""The differential a person reads: counts, shares, subtotals, indices; none lost, none made up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deepheme.errors import OptionError, TaxonomyError
from napari_deepheme.stats.differential import CellFacts, CountOptions, Differential, ordered_classes
from napari_deepheme.stats.intervals import Interval
from napari_deepheme.stats.rules import counting_rule, embedded_rules, labels_under, unknown_classes
from napari_deepheme.taxonomy import DEEPHEME_23, MUNICH_21, PBC_11, CellClass, Lineage, Taxonomy

DEEPHEME_RULE = CountOptions(rule=counting_rule("deepheme"))
LABELS_23 = st.lists(st.sampled_from(DEEPHEME_23.codes), max_size=120)


def of(labels, taxonomy=DEEPHEME_23, **more) -> Differential:
    return Differential.of(labels, np.zeros(len(labels)), taxonomy, **more)


def by_code(count: Differential):
    return {row.cell_class.code: row for row in count.rows}


def test_the_interval_of_twenty_per_cent_of_five_hundred_is_the_published_one():
    labels = ["M6"] * 100 + ["L2"] * 400 + ["U1"] * 30
    count = of(labels, PBC_11)
    row = by_code(count)["M6"]
    assert (count.n_cells, count.n_counted) == (530, 500)
    assert row.fraction == 0.2
    assert (round(100 * row.low, 1), round(100 * row.high, 1)) == (16.7, 23.7)


def test_artefacts_are_reported_but_not_counted():
    table = Differential.of(["M6", "U1"], np.array([0.1, 0.9]), PBC_11).table().set_index("class")
    assert table.loc["U1", "count"] == 1
    assert np.isnan(table.loc["U1", "fraction"])
    assert table.loc["M6", "fraction"] == 1.0
    assert table.loc["U1", "mean_entropy"] == 0.9


@settings(deadline=None)
@given(LABELS_23, st.sampled_from([Interval.WILSON, Interval.CLOPPER_PEARSON, Interval.GOODMAN]))
def test_shares_sum_to_one_subtotals_to_theirs_and_every_cell_is_there(labels, interval):
    count = of(labels, options=CountOptions(interval=interval))
    assert sum(row.count for row in count.rows) == len(labels)
    rows = by_code(count)
    for lineage in count.lineages:
        assert lineage.count == sum(rows[code].count for code in lineage.codes)
    assert sum(lineage.count for lineage in count.lineages) == count.n_counted
    if count.n_counted:
        assert np.nansum([row.fraction for row in count.rows]) == pytest.approx(1)
        assert sum(lineage.fraction for lineage in count.lineages) == pytest.approx(1)


@settings(deadline=None)
@given(LABELS_23, st.randoms(use_true_random=False))
def test_the_order_of_the_cells_and_of_relabelling_does_not_matter(labels, random):
    before = of(labels).to_json()
    shuffled = labels.copy()
    random.shuffle(shuffled)
    assert of(shuffled).to_json() == before
    # two persons' corrections of different cells, in either order, and taken back
    if len(labels) > 1:
        changed = labels.copy()
        changed[0], changed[1] = "M1", "ER1"
        again = labels.copy()
        again[1] = "ER1"
        again[0] = "M1"
        assert of(changed).to_json() == of(again).to_json()
        again[0], again[1] = labels[0], labels[1]
        assert of(again).to_json() == before


@pytest.mark.parametrize("taxonomy", [DEEPHEME_23, PBC_11, MUNICH_21])
def test_rows_come_by_lineage_and_maturation_counted_ones_first(taxonomy):
    rows = of([], taxonomy).rows
    assert [row.counted for row in rows] == sorted((row.counted for row in rows), reverse=True)
    ordered = [row.cell_class for row in rows if row.counted]
    lineages = [list(Lineage).index(c.lineage) for c in ordered]
    assert lineages == sorted(lineages)
    place = {c.code: i for i, c in enumerate(ordered_classes(taxonomy))}
    for line in taxonomy.lines:
        assert [place[code] for code in line] == sorted(place[code] for code in line)


def test_no_cells_give_no_percentages_and_no_crash():
    for taxonomy in (PBC_11, DEEPHEME_23):
        count = of([], taxonomy)
        assert count.n_counted == 0
        assert all(np.isnan(row.fraction) for row in count.rows)
        assert count.to_json()["classes"]["M6"] == {"count": 0, "fraction": None, "low": None, "high": None}


def test_a_label_outside_the_taxonomy_is_an_error_not_a_lost_cell():
    with pytest.raises(TaxonomyError, match="M1"):
        of(["M1"], PBC_11)


def test_the_ratio_of_myeloid_to_erythroid_counts_monocytes_and_leaves_mast_cells_out():
    labels = ["M1"] * 5 + ["M6"] * 50 + ["MO2"] * 5 + ["B1"] * 9 + ["L2"] * 9 + ["ER4"] * 20
    found = of(labels).indices
    assert found["m_e"].value == 3.0
    assert found["m_e_without_monocytes"].value == 2.75
    assert found["m_e"].low < 3 < found["m_e"].high
    assert found["i_mg"].value == pytest.approx(0.1)
    assert found["i_me"].value == 0
    assert found["m_e"].without == ()


def test_mitoses_are_counted_among_the_nucleated_cells_and_by_lineage_where_classes_allow():
    assert of(["M6"] * 95 + ["U4"] * 5 + ["U1"] * 50).indices["mitotic_index"].value == 0.05
    assert "mitotic_index" not in of(["M6"], PBC_11).indices
    own = Taxonomy(
        "own",
        (
            *DEEPHEME_23.classes[:4],
            CellClass("ER1", "Pronormoblast", Lineage.ERYTHROID, "#000000"),
            CellClass("U4E", "Erythroid mitosis", Lineage.ERYTHROID, "#000000", False, ("U4",)),
        ),
    )
    found = of(["ER1"] * 9 + ["U4E"] + ["E4"] * 10, own).indices
    assert found["mitotic_index"].value == 0.05
    assert found["mitotic_index_erythroid"].value == 0.1


def test_an_index_whose_classes_the_model_has_not_got_is_left_out_and_what_others_lack_is_named():
    found = of(["M6", "EBO"], PBC_11).indices
    assert "i_me" not in found
    assert "Blast" in found["m_e"].without
    assert "i_me" not in of(["NGS", "EBO"], MUNICH_21).indices
    assert "m_e" in of(["NGS", "EBO"], MUNICH_21).indices
    assert of(["NGS", "EBO"], MUNICH_21).indices["m_e"].value == 1.0


def test_what_a_blood_model_cannot_know_is_told():
    unknown = {c.code for c in unknown_classes(PBC_11)}
    assert {"M1", "L4", "PL2", "U4", "B1", "E1"} <= unknown
    assert not unknown & {"M6", "E4", "EBO", "ER2", "ER3", "ER4"}
    assert unknown_classes(DEEPHEME_23) == ()


def test_dropping_and_masking_give_different_counts_and_each_says_which():
    probabilities = np.zeros((3, 23))
    codes = DEEPHEME_23.codes
    probabilities[:, codes.index("B2")] = 0.6
    probabilities[:, codes.index("M3")] = 0.4
    labels, facts = ["B2", "M6", "B2"], CellFacts(probabilities)
    dropped = by_code(of(labels, facts=facts))
    assert (dropped["B2"].count, dropped["M3"].count) == (2, 0)
    masked = of(labels, options=DEEPHEME_RULE, facts=facts)
    assert by_code(masked)["M3"].count == 2
    assert masked.n_counted == 3
    assert not by_code(masked)["B2"].counted
    assert "takes its next likely class" in masked.options.rule.describe(DEEPHEME_23)
    with pytest.raises(OptionError, match="probabilities"):
        of(labels, options=DEEPHEME_RULE)


def test_no_rule_renames_a_cell_that_a_person_named():
    probabilities = np.full((2, 23), 1 / 23)
    named = np.array([True, False])
    kept = labels_under(counting_rule("deepheme"), ["B1", "B1"], DEEPHEME_23, probabilities, named)
    assert kept[0] == "B1"
    assert kept[1] != "B1"
    count = of(["B1", "B1"], options=DEEPHEME_RULE, facts=CellFacts(probabilities, named))
    assert count.n_counted == 1


def test_a_rule_of_ones_own_decides_what_is_counted(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\ntitle = "Own"\nnot_counted = ["L2"]\ncounted = ["PL2"]\n'
        '[indices.b_l]\ntitle = "B:L"\nnumerator = ["M1"]\ndenominator = ["L4"]\n'
    )
    count = of(["L2", "PL2", "M1", "L4", "L4"], options=CountOptions(rule=counting_rule(str(path))))
    assert count.n_counted == 4
    assert count.indices["b_l"].value == 0.5
    assert count.rule == "Own"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "TOML"),
        ('name = "a"\ntitle = "A"\nmaskd = []\n', "maskd"),
        ('name = "a"\ntitle = "A"\nmasked = ["B9"]\n', "B9"),
        (
            'name = "a"\ntitle = "A"\n[indices.x]\ntitle = "X"\n'
            'numerator = ["M1", "M2"]\ndenominator = ["M2"]\n',
            "share no class",
        ),
    ],
)
def test_a_fault_in_a_rule_is_told_in_a_sentence(tmp_path, text, said):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=said):
        of(["M6"], options=CountOptions(rule=counting_rule(str(path))))


def test_an_unknown_rule_names_those_there_are():
    with pytest.raises(OptionError, match="icsh, deepheme"):
        counting_rule("nowhere")
    assert embedded_rules() == ("icsh", "deepheme")


def test_fields_widen_the_intervals_of_cells_that_lie_together():
    # each field holds one kind only: ten fields say hardly more than ten cells
    labels = np.repeat(["M6", "ER4"] * 10, 25)
    fields = np.repeat(np.arange(20), 25)
    alone, together = of(labels), of(labels, facts=CellFacts(fields=fields))
    assert together.design_effect > 20
    narrow, wide = (by_code(each)["M6"] for each in (alone, together))
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)
    assert together.indices["m_e"].high > alone.indices["m_e"].high
    assert together.more_cells("M6", 0.05) > alone.more_cells("M6", 0.05)
    assert np.isnan(alone.design_effect)


def test_the_document_for_programs_has_the_agreed_keys():
    document = of(["M6", "ER4", "U1"]).to_json({"M6": (0.4, 0.2, 0.6)})
    assert document["rule"] == "icsh"
    assert document["n_counted"] == 2
    assert set(document["classes"]) == set(DEEPHEME_23.codes)
    assert set(document["classes"]["M6"]) == {"count", "fraction", "low", "high"}
    assert {"value", "low", "high"} <= set(document["indices"]["m_e"])
    assert document["corrected"] == {"M6": {"fraction": 0.4, "low": 0.2, "high": 0.6}}
    assert of(["M6"]).to_json()["corrected"] is None


def test_an_index_that_cannot_be_known_is_a_sentence_not_a_nan():
    nothing, one_sided, known = (of(labels).indices["m_e"] for labels in ([], ["M6"] * 30, ["M6", "ER4"]))
    assert nothing.words == "M:E –: no cell that belongs to it was counted"
    assert one_sided.words.startswith("M:E ∞ (")
    assert "–∞): 30 cells to none" in one_sided.words
    assert known.words.startswith("M:E 1.00 (")
    assert of(["M6"] * 95 + ["U4"] * 5).indices["mitotic_index"].words.startswith("Mitotic index 5.0 % (")
    for index in of([]).indices.values():
        assert "nan" not in index.words


def test_the_plan_tells_the_marks_and_the_cells_that_the_least_certain_class_needs():
    none, few, many = of([]).plan, of(["M6"] * 150 + ["L2"] * 150).plan, of(["M6"] * 9000 + ["L2"] * 100).plan
    assert none == ("No mark of ICSH is reached; 300 more cells to 300.",)
    assert few[0] == "ICSH's mark of 300 cells is reached; 200 more cells to 500."
    needed = of(["M6"] * 150 + ["L2"] * 150).more_cells("M6", 0.02)
    assert f"± 5.6 points or better; {needed} more cells" in few[1]
    assert many == ("ICSH's mark of 500 cells is reached.", "Every class is known to ± 0.2 points or better.")


def test_the_cells_still_needed_know_how_few_fields_were_seen():
    labels = ["M6"] * 150 + ["L2"] * 150
    few = of(labels, facts=CellFacts(fields=np.arange(300) % 3))
    assert few.more_cells("M6", 0.05) > of(labels).more_cells("M6", 0.05)


def test_a_rule_that_masks_every_class_is_refused():
    rule = counting_rule("deepheme").model_copy(update={"masked": DEEPHEME_23.codes})
    with pytest.raises(OptionError, match="masks every class"):
        labels_under(rule, ["B1"], DEEPHEME_23, np.full((1, len(DEEPHEME_23.codes)), 1 / 23))
