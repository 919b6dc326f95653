"""What is written comes back, whoever reads it and whatever happens to the file."""

import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored_parts import SIGNATURE, unit

from napari_deepheme.analysis.corrections import CorrectionKind
from napari_deepheme.analysis.result import Notice, NoticeKind, UnitResult
from napari_deepheme.analysis.sink import Memory
from napari_deepheme.cells import Cells, RawOutputs
from napari_deepheme.errors import AnalysisFileError
from napari_deepheme.export.files import read_cells_csv, write_csv
from napari_deepheme.export.table import cells_table
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store import open_analysis
from napari_deepheme.store.opening import create_analysis


def in_memory(facts):
    sink = Memory()
    sink.begin(facts)
    for each in (unit("field 2", 5, 1), unit("field 1", 4, 2)):
        sink.commit(each)
    sink.commit(UnitResult("field 9", Cells.empty(), RawOutputs.empty(2, 11), "a.svs: tile 7 is damaged"))
    sink.finish(facts.notices)
    return sink.so_far()


def test_an_analysis_read_from_disk_is_the_one_in_memory(file, facts, path):
    file.finish(facts.notices)
    file.close()
    with open_analysis(path) as again:
        read = again.analysis()
    kept = in_memory(facts)
    pd.testing.assert_frame_equal(cells_table(read), cells_table(kept), check_exact=True)
    assert read.facts.slide == facts.slide
    assert read.facts.bundle == facts.bundle
    assert read.facts.calibration == facts.calibration
    assert read.facts.options == facts.options
    assert read.facts.notices == facts.notices
    assert [region.name for region in read.facts.regions] == ["field 2", "field 1"]
    assert [(f.region.bounds, f.kind) for f in read.facts.fields] == [
        (f.region.bounds, f.kind) for f in facts.fields
    ]
    assert dict(read.units) == dict(kept.units)
    assert read.finished
    np.testing.assert_array_equal(read.raw.members, kept.raw.members)
    assert read.facts.detection_threshold() == 0.22  # a crowded slide


def test_a_closed_analysis_is_a_single_file(file, path):
    file.close()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_was_committed_is_there_before_the_file_is_closed(path, facts):
    opened = create_analysis(path, SIGNATURE)
    opened.begin(facts)
    opened.commit(unit("field 2", 5))
    with open_analysis(path) as reader:  # as another process would
        assert list(reader.done()) == ["field 2"]
        assert not reader.finished
    opened.close()


def test_a_unit_is_there_whole_or_not_at_all(file, path):
    whole = unit("field 3", 3)
    with pytest.raises(ValueError, match="3 cells, outputs of 2"):
        UnitResult("field 3", whole.cells, whole.raw.take(slice(0, 2)))
    with pytest.raises(AnalysisFileError):
        file.commit(unit("field 2", 2))  # it is there already
    assert len(file.analysis().cells) == 9


def test_a_second_process_reads_and_is_told(file, path):
    program = f"""
from napari_deepheme import open_analysis
from napari_deepheme.errors import AnalysisFileError
with open_analysis({str(path)!r}, write=True) as file:
    print(file.read_only, len(file.analysis().cells))
    try:
        file.undo()
    except AnalysisFileError as err:
        print(err)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "True 9"
    assert "open for reading only" in second


def test_going_on_keeps_the_facts_and_takes_the_new_target(file, facts):
    more = replace(facts, options=replace(facts.options, target_cells=800), notices=())
    file.begin(more)
    assert file.facts().options.target_cells == 800
    assert file.facts().notices == facts.notices
    assert set(file.done()) == {"field 2", "field 1", "field 9"}
    file.finish([Notice(NoticeKind.DAMAGED, "One part was damaged.")])
    assert [notice.text for notice in file.analysis().notices] == ["One part was damaged."]


class TestCorrections:
    def test_they_are_kept_with_who_and_when_and_can_be_undone_and_redone(self, file):
        before = cells_table(file.analysis())
        file.correct(CorrectionKind.LABEL, 1, label="L2", who="Ada")
        file.correct(CorrectionKind.DELETE, 2)
        corrected = cells_table(file.analysis())
        assert file.corrections()[0].who == "Ada"
        assert file.corrections()[1].who
        assert file.corrections()[0].when.endswith("+00:00")
        file.undo()
        assert 2 in cells_table(file.analysis())["cell_id"].tolist()
        file.undo()
        pd.testing.assert_frame_equal(cells_table(file.analysis()), before)
        assert file.undo() is None
        file.redo()
        file.redo()
        pd.testing.assert_frame_equal(cells_table(file.analysis()), corrected)
        assert file.redo() is None
        assert len(file.corrections()) == 6  # nothing was taken out

    def test_nothing_is_redone_once_something_new_was_said(self, file):
        file.correct(CorrectionKind.LABEL, 1, label="L2")
        file.undo()
        file.correct(CorrectionKind.LABEL, 1, label="MO2")
        assert file.redo() is None
        table = cells_table(file.analysis()).set_index("cell_id")
        assert table.loc[1, "label"] == "MO2"

    def test_an_added_cell_has_an_id_of_its_own_and_a_label_alone_until_it_is_classified(self, file):
        added = file.correct(CorrectionKind.ADD, 0, label="M1", yx=(10.0, 20.0))
        other = file.correct(CorrectionKind.ADD, 0, yx=(30.0, 40.0))
        assert (added.cell, other.cell) == (-1, -2)
        table = cells_table(file.analysis()).set_index("cell_id")
        assert table.loc[-1, ["label", "label_source", "class"]].tolist() == ["M1", "person", ""]
        assert np.isnan(table.loc[-1, "confidence"])
        assert not table.loc[-1, "needs_review"]
        assert file.analysis().taxonomy.codes[-1] == "M1"
        file.classified(-2, RawOutputs(np.full((2, 1, 11), 1 / 11), np.array([1.0])))
        table = cells_table(file.analysis()).set_index("cell_id")
        assert table.loc[-2, "confidence"] == pytest.approx(1 / 11, abs=1e-3)
        assert table.loc[-2, "label"] == table.loc[-2, "class"]
        file.undo()
        assert -2 not in cells_table(file.analysis())["cell_id"].tolist()
        assert file.correct(CorrectionKind.ADD, 0, yx=(1.0, 1.0)).cell == -3

    def test_a_moved_threshold_neither_loses_nor_changes_them(self, file):
        file.correct(CorrectionKind.LABEL, 3, label="L2")
        strict = cells_table(file.analysis(), AssessmentOptions(detection_threshold=1.0))
        assert strict["cell_id"].tolist() == [3]


class TestFilesThatCannotBeUsed:
    """One sentence, and nothing is lost."""

    def test_it_is_not_there(self, tmp_path):
        with pytest.raises(AnalysisFileError, match="is not there"):
            open_analysis(tmp_path / "gone.deepheme.db")

    def test_it_is_something_else(self, tmp_path):
        (tmp_path / "a.db").write_text("notes " * 200)
        with pytest.raises(AnalysisFileError, match="damaged or no analysis file"):
            open_analysis(tmp_path / "a.db")
        other = sqlite3.connect(tmp_path / "b.db")
        other.execute("CREATE TABLE t (x)")
        other.close()
        with pytest.raises(AnalysisFileError, match="no analysis"):
            open_analysis(tmp_path / "b.db")

    def test_it_is_of_a_newer_version(self, file, path):
        file.close()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(AnalysisFileError, match="newer version"):
            open_analysis(path)

    def test_it_is_cut(self, file, path):
        file.close()
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(AnalysisFileError, match="damaged"), open_analysis(path) as again:
            again.analysis()

    def test_a_value_in_it_has_another_form(self, file, path):
        file.close()
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("UPDATE meta SET value = 'x' WHERE key = 'calibration'")
        connection.close()
        with pytest.raises(AnalysisFileError, match="damaged"), open_analysis(path) as again:
            again.analysis()

    def test_nothing_can_be_written_there(self, tmp_path):
        (tmp_path / "taken").write_text("")
        with pytest.raises(AnalysisFileError, match="cannot be written"):
            create_analysis(tmp_path / "taken" / "a.deepheme.db", SIGNATURE)

    def test_the_disk_is_full(self, file):
        pages = file._connection.execute("PRAGMA page_count").fetchone()[0]
        file._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(AnalysisFileError, match="disk is full"):
            file.commit(unit("field 3", 5000))
        assert "field 3" not in file.done()
        assert len(file.analysis().cells) == 9


def test_given_cells_and_regions_come_back(path, facts):
    cells = Cells(np.array([[1.5, 2.5]]), np.array([8.0]), np.array([0.5]), np.array([0]))
    options = replace(facts.options, cells=cells, regions=facts.regions, target_cells=0)
    with create_analysis(path, SIGNATURE) as file:
        file.begin(replace(facts, options=options, fields=()))
        read = file.facts()
    np.testing.assert_array_equal(read.options.cells.yx, cells.yx)
    assert [region.name for region in read.options.regions] == ["field 2", "field 1"]
    np.testing.assert_array_equal(read.regions[0].outline, facts.regions[0].outline)


GOLDEN = Path(__file__).parent / "golden"
LEARNING = {"format-1": (False, 0), "format-2": (True, 1)}


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.deepheme.db")), ids=lambda path: path.name)
def test_files_of_every_format_are_read_for_ever(golden, tmp_path):
    """Two units, a label, an addition, and a deletion that was undone; never written again."""
    copy = tmp_path / golden.name
    copy.write_bytes(golden.read_bytes())
    with open_analysis(copy, write=True) as file:
        analysis = file.analysis()
        assert (analysis.learned is not None, len(analysis.sign_offs)) == LEARNING[golden.name[:8]]
        assert [c.kind.value for c in file.corrections()] == ["label", "add", "delete", "undo"]
        file.undo()
        assert len(file.corrections()) == 5
    expected = golden.with_name(golden.name.replace(".deepheme.db", ".cells.csv"))
    write_csv(cells_table(analysis), tmp_path / "cells.csv")
    pd.testing.assert_frame_equal(read_cells_csv(tmp_path / "cells.csv"), read_cells_csv(expected), atol=1e-4)
    assert {str(f.kind) for f in analysis.facts.fields} == {"good", "glass"}
