"""The lines of the Summary agree with the differential and keep the numbers' places."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deepheme.stats.differential import Differential
from napari_deepheme.taxonomy import DEEPHEME_23, PBC_11
from napari_deepheme.ui.model_box import missing_classes
from napari_deepheme.ui.summary_rows import index_lines, summary_rows

LABELS = ["M6"] * 6 + ["L2"] * 3 + ["M5"] + ["U1"] * 4
ENTROPY = np.array([0.1] * 10 + [0.9] * 4)


def by_name(rows):
    return {row.name: row.numbers for row in rows}


def test_counts_shares_and_what_is_reviewed():
    differential = Differential.of(LABELS, ENTROPY, PBC_11)
    rows = by_name(summary_rows(differential, {"M6": (2, 1), "M5": (1, 0), "U1": (0, 4)}))
    assert rows["Segmented neutrophil"] == ("6", "60.0", "31.3–83.2", "2/3")
    assert rows["Basophil"] == ("0", "0.0", "\u20070.0–27.8", "")
    assert rows["Granulocytic"] == ("7", "70.0", rows["Granulocytic"][2], "3/4")
    assert rows["Not counted"] == ("4", "", "", "0/4")
    assert rows["Artefact"] == ("4", "", "", "0/4")
    plans = {row.name: row.plan for row in summary_rows(differential)}
    assert plans["Lymphocyte"] == f"± 2 points: {differential.more_cells('L2', 0.02)} more cells"
    assert plans["Artefact"] == ""


@pytest.mark.parametrize("taxonomy", [PBC_11, DEEPHEME_23])
def test_every_class_has_one_line_and_the_left_out_come_last(taxonomy):
    rows = summary_rows(Differential.of([], np.zeros(0), taxonomy))
    codes = [row.code for row in rows if row.code]
    assert sorted(codes) == sorted(taxonomy.codes)
    counted = [code in taxonomy.counted_codes for code in codes]
    assert counted == sorted(counted, reverse=True)


def test_indices_and_what_the_model_cannot_know():
    lines = index_lines(Differential.of([*LABELS, "EBO", "EBO"], np.zeros(16), PBC_11))
    *indices, unknown, marks, precision = lines
    assert any(line.startswith("M:E") and "3.50" in line for line in indices)
    assert "blast" in unknown
    assert "288 more cells to 300" in marks
    assert "more cells and" in precision


def test_what_a_model_cannot_see_is_said():
    assert missing_classes(PBC_11) == "⚠ knows no blasts, no plasma cells"
    assert missing_classes(DEEPHEME_23) == ""
