from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_deepheme.analysis.corrections import Correction, CorrectionKind
from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Analysis, Facts, SlideCalibration
from napari_deepheme.cells import Cells, RawOutputs, Region
from napari_deepheme.classify.bundle import OutOfDistribution
from napari_deepheme.detect.base import DetectionThresholds
from napari_deepheme.errors import OutputError, TableError
from napari_deepheme.export import (
    cells_table,
    check_folder,
    differential,
    is_cells_csv,
    read_cells_csv,
    write_csv,
)
from napari_deepheme.slide.metadata import Level, SlideInfo
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.taxonomy import PBC_11


@pytest.fixture
def analysis(toy_bundle) -> Analysis:
    """A sure basophil, an unsure eosinophil, an artefact; the second region has a hostile name."""
    info = SlideInfo(
        path=Path("smear.svs"),
        format="Aperio SVS",
        vendor="Aperio",
        shape=(1000, 2000),
        levels=(Level((1000, 2000), (1.0, 1.0)),),
        mpp=(0.25, 0.5),
        mpp_source="Aperio MPP tag",
        associated=(),
        warnings=(),
    )
    mean = np.full((3, 11), 0.001)
    mean[0, 0], mean[1, :2], mean[2, 10] = 0.99, (0.45, 0.541), 0.99
    cells = Cells(
        yx=np.array([[10.0, 20.0], [30.5, 40.25], [5.0, 5.0]]),
        diameter_um=np.full(3, 8.0),
        score=np.full(3, 0.9),
        region=np.array([0, 1, 1]),
    )
    facts = Facts(
        info,
        toy_bundle.spec.model_copy(update={"temperature": 1.0}),
        "stain",
        DetectionThresholds(0.5, 0.5),
        AnalysisOptions(target_cells=0),
        SlideCalibration(),
        (Region.box("slide", 0, 0, 20, 30), Region.box("=HYPERLINK(1)", 0, 0, 50, 50)),
    )
    return Analysis(facts, np.arange(1, 4), cells, RawOutputs(np.stack([mean, mean]), np.full(3, np.nan)))


def test_pixels_become_um_by_axis_and_x_comes_first(analysis):
    table = cells_table(analysis)
    assert table.columns[1:5].tolist() == ["x_px", "y_px", "x_um", "y_um"]
    assert table.loc[1, ["x_px", "y_px", "x_um", "y_um"]].tolist() == [40.25, 30.5, 20.125, 7.625]


def test_calls_second_choices_and_conformal_sets(analysis):
    table = cells_table(analysis)
    assert table["class"].tolist() == ["B2", "E4", "U1"]
    assert (table.loc[1, "top2_class"], table.loc[1, "top2_confidence"]) == ("B2", pytest.approx(0.45))
    assert table["conformal_set"].tolist() == ["B2", "E4 B2", "U1"]
    assert table["needs_review"].tolist() == [False, True, False]
    assert table["review_reason"].tolist() == ["", "entropy above 0.50", ""]
    assert table["label_source"].unique().tolist() == ["model"]


def test_a_cell_unlike_the_training_cells_is_for_review_but_not_an_artefact(analysis):
    ood = OutOfDistribution(file="novelty.safetensors", sha256="0" * 64, threshold=2.0, quantile=0.99)
    facts = replace(analysis.facts, bundle=analysis.facts.bundle.model_copy(update={"ood": ood}))
    far = RawOutputs(analysis.raw.members, np.full(3, 3.0))
    table = cells_table(replace(analysis, facts=facts, raw=far))
    assert table["needs_review"].tolist() == [True, True, False]
    assert table["review_reason"].tolist() == [
        "unlike the training cells",
        "entropy above 0.50; unlike the training cells",
        "",
    ]


def said(number: int, kind: CorrectionKind, cell: int, **what) -> Correction:
    return Correction(number, kind, cell, "Ada", "2026-11-24T20:00:00+00:00", **what)


def test_what_people_corrected_is_in_the_table(analysis):
    corrections = (
        said(1, CorrectionKind.LABEL, 1, label="L2"),
        said(2, CorrectionKind.DELETE, 2),
        said(3, CorrectionKind.MOVE, 3, yx=(6.0, 7.5)),
    )
    table = cells_table(replace(analysis, corrections=corrections))
    assert table["cell_id"].tolist() == [1, 3]
    assert table["label"].tolist() == ["L2", "U1"]
    assert table["class"].tolist() == ["B2", "U1"]
    assert table["label_source"].tolist() == ["person", "model"]
    assert table.loc[1, ["x_px", "y_px", "x_um", "y_um"]].tolist() == [7.5, 6.0, 3.75, 1.5]
    undone = (*corrections, said(4, CorrectionKind.UNDO, 2, undoes=2))
    assert cells_table(replace(analysis, corrections=undone))["cell_id"].tolist() == [1, 2, 3]


def test_fainter_finds_count_when_the_threshold_is_moved_and_corrected_ones_always(analysis):
    faint = replace(analysis, cells=replace(analysis.cells, score=np.array([0.9, 0.3, 0.2])))
    assert cells_table(faint)["cell_id"].tolist() == [1]
    assert cells_table(faint, AssessmentOptions(detection_threshold=0.25))["cell_id"].tolist() == [1, 2]
    kept = replace(faint, corrections=(said(1, CorrectionKind.LABEL, 3, label="L2"),))
    assert cells_table(kept)["cell_id"].tolist() == [1, 3]


def test_a_table_survives_its_file_unchanged(analysis, tmp_path):
    table = cells_table(analysis)
    write_csv(table, tmp_path / "cells.csv")
    pd.testing.assert_frame_equal(read_cells_csv(tmp_path / "cells.csv"), table, check_dtype=False)
    assert is_cells_csv(tmp_path / "cells.csv")


def test_no_cells_are_a_table_too(analysis, tmp_path):
    nothing = analysis.take(slice(0, 0))
    write_csv(cells_table(nothing), tmp_path / "none.csv")
    assert len(read_cells_csv(tmp_path / "none.csv")) == 0


def test_a_spreadsheet_sees_no_formula(analysis, tmp_path):
    write_csv(cells_table(analysis), tmp_path / "cells.csv")
    assert ",'=HYPERLINK(1)," in (tmp_path / "cells.csv").read_text(encoding="utf-8")


def test_a_table_that_napari_saved_reads_as_ours(analysis, tmp_path):
    table = cells_table(analysis)
    saved = table.copy()
    saved.insert(0, "axis-1", table["x_px"])
    saved.insert(0, "axis-0", table["y_px"])
    saved.to_csv(tmp_path / "napari.csv", index_label="index")
    pd.testing.assert_frame_equal(read_cells_csv(tmp_path / "napari.csv"), table, check_dtype=False)


def test_a_persons_label_is_what_the_differential_counts(analysis):
    table = cells_table(analysis)
    table.loc[2, "label"] = "L2"
    count = differential(table, PBC_11)
    assert count.n_counted == 3
    assert next(row.count for row in count.rows if row.cell_class.code == "L2") == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n", "missing"),
        ("", "cannot be read"),
    ],
    ids=["other-columns", "empty"],
)
def test_other_tables_are_refused_in_one_sentence(tmp_path, content, words):
    (tmp_path / "other.csv").write_text(content)
    assert not is_cells_csv(tmp_path / "other.csv")
    with pytest.raises(TableError, match=words):
        read_cells_csv(tmp_path / "other.csv")


def test_positions_that_are_no_numbers_are_refused(analysis, tmp_path):
    table = cells_table(analysis).astype({"x_px": object})
    table.loc[0, "x_px"] = "left"
    write_csv(table, tmp_path / "cells.csv")
    with pytest.raises(TableError, match="left"):
        read_cells_csv(tmp_path / "cells.csv")


def test_a_write_that_fails_leaves_the_old_file_and_no_half_one(analysis, tmp_path):
    target = tmp_path / "cells.csv"
    target.mkdir()
    (target / "kept").write_text("")
    with pytest.raises(OutputError, match=r"cells\.csv"):
        write_csv(cells_table(analysis), target)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.csv"]
    with pytest.raises(OutputError, match="nowhere"):
        write_csv(cells_table(analysis), tmp_path / "nowhere" / "cells.csv")


def test_an_output_folder_is_made_and_tried_beforehand(tmp_path):
    check_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        check_folder(tmp_path / "file")
