"""Files from anywhere, and files of results, whatever lies in wait."""

from __future__ import annotations

import gzip
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from napari_deepheme.datasets.fields import read_marks
from napari_deepheme.errors import OutputError, TableError
from napari_deepheme.export import is_cells_csv
from napari_deepheme.files import gunzip_bounded, is_file, is_folder, open_regular, read_bounded, read_toml
from napari_deepheme.given.counts import read_readings
from napari_deepheme.tables import check_output, read_table, write_whole


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_what_is_no_file_is_refused_before_it_is_opened(pipe, tmp_path):
    for path, kind in ((pipe, "a pipe"), (tmp_path, "a folder"), (Path(os.devnull), "a device")):
        with pytest.raises(OSError, match=kind):
            open_regular(path)


def test_a_file_is_read_up_to_a_bound(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert read_bounded(tmp_path / "a", 100) == b"x" * 100
    with pytest.raises(OSError, match="larger"):
        read_bounded(tmp_path / "a", 99)


def test_gzip_is_unpacked_up_to_a_bound():
    packed = gzip.compress(b"x" * 1000)
    assert gunzip_bounded(packed, 1000) == b"x" * 1000
    assert gunzip_bounded(packed + packed, 2000) == b"x" * 2000
    with pytest.raises(OSError, match="unpacks to more"):
        gunzip_bounded(packed, 999)
    for damaged in (packed[:-9], b"\0" + packed, packed[:12] + b"\xff" + packed[13:]):
        with pytest.raises(OSError, match="gzip"):
            gunzip_bounded(damaged, 1000)


def _write_often(path: Path, letter: str) -> None:
    for _ in range(60):
        write_whole(path, lambda part: part.write_text(letter * 200_000) and None)


def test_two_processes_that_write_one_file_leave_one_of_the_two_whole(tmp_path):
    path = tmp_path / "cells.csv"
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    writers = [context.Process(target=_write_often, args=(path, letter)) for letter in "ab"]
    for writer in writers:
        writer.start()
    torn = 0
    while any(writer.is_alive() for writer in writers):
        text = path.read_text() if path.exists() else "a" * 200_000
        torn += text not in ("a" * 200_000, "b" * 200_000)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert torn == 0
    assert [each.name for each in tmp_path.iterdir()] == ["cells.csv"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_nothing_is_written_through_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("untouched")
    for name in ("cells.csv", "cells.csv.part"):
        (tmp_path / name).symlink_to(precious)
    write_whole(tmp_path / "cells.csv", lambda part: part.write_text("new") and None)
    assert precious.read_text() == "untouched"
    assert (tmp_path / "cells.csv").read_text() == "new"
    assert not (tmp_path / "cells.csv").is_symlink()


def test_a_text_that_is_not_unicode_is_one_sentence_and_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match=r"cells\.csv cannot be written .a text"):
        write_whole(tmp_path / "cells.csv", lambda part: part.write_text("\ud800", encoding="utf-8") and None)
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_is_refused_before_the_work(tmp_path):
    check_output(tmp_path / "new.csv")
    assert not list(tmp_path.iterdir())
    (tmp_path / "old.csv").write_text("old")
    check_output(tmp_path / "old.csv")
    assert (tmp_path / "old.csv").read_text() == "old"
    (tmp_path / "folder.csv").mkdir()
    for path in (tmp_path / "folder.csv", tmp_path / "none" / "a.csv", tmp_path / ("x" * 260 + ".csv")):
        with pytest.raises(OutputError, match="cannot be written"):
            check_output(path)
    with pytest.raises(OutputError, match="MB are free"):
        check_output(tmp_path / "old.csv", free=2**62)


@pytest.mark.parametrize(
    "text",
    ["\ufeffcell_id,x_px\n1,2.5\n2,\n", "cell_id;x_px\r\n1;2,5\r\n2;\r\n", "cell_id\tx_px\n1\t2.5\n2\n"],
)
def test_a_table_is_read_as_a_spreadsheet_saves_it(tmp_path, text):
    (tmp_path / "cells.csv").write_text(text, encoding="utf-8", newline="")
    table = read_table(tmp_path / "cells.csv", ["x_px", "y_px"])
    assert list(table["cell_id"]) == ["1", "2"]
    assert np.array_equal(table["x_px"], [2.5, np.nan], equal_nan=True)


@pytest.mark.parametrize("value", ["inf", "-inf", "1e999", "one", "9" * 400])
def test_a_number_that_is_none_names_its_row(tmp_path, value):
    (tmp_path / "cells.csv").write_text(f"cell_id,x_px\n1,1\n2,{value}\n")
    with pytest.raises(TableError, match=r"in row 3, column x_px, is not a finite number"):
        read_table(tmp_path / "cells.csv", ["x_px"])


def test_what_is_no_table_is_one_sentence(tmp_path, pipe):
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\0a")
    (tmp_path / "empty.csv").write_bytes(b"")
    for path in (pipe, tmp_path / "bytes.csv", tmp_path / "empty.csv", tmp_path / "none.csv"):
        with pytest.raises(TableError, match="cannot be read as a table"):
            read_table(path)


@pytest.mark.parametrize("text", ["class" + "," * 20_000 + "\n", "class,n\n" + "M1,3\n" * 8 * 10**6], ids=len)
def test_fields_are_counted_before_they_are_made(tmp_path, text):
    """A line of commas took 1.5 GB and 24 s."""
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match="expected at most"):
        read_table(tmp_path / "t.csv")


def test_a_row_that_is_longer_than_the_header_does_not_shift_its_fields(tmp_path):
    (tmp_path / "t.csv").write_text("class,count\nM1,3,4\nM6,50,2\n")
    with pytest.raises(TableError, match="line 2, saw 3"):
        read_table(tmp_path / "t.csv")


def test_two_columns_of_one_name_are_a_question_and_empty_ones_nothing(tmp_path):
    (tmp_path / "t.csv").write_text("class,count,count\nM1,3,4\n")
    with pytest.raises(TableError, match="several columns are called 'count'"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("class,count,,\nM1,3,,\n")
    assert list(read_table(tmp_path / "t.csv")) == ["class", "count"]


@pytest.mark.parametrize("x", ["inf", "", "a", "9" * 400])
def test_a_cell_that_is_nowhere_is_not_compared(tmp_path, x):
    (tmp_path / "t.csv").write_text(f"cell_id,label,x_px,y_px\n1,M1,{x},10\n")
    with pytest.raises(TableError, match="x_px"):
        read_readings(tmp_path / "t.csv")


def test_cells_are_compared_as_a_german_spreadsheet_saves_them_but_for_those_without_a_label(tmp_path):
    (tmp_path / "t.csv").write_text("cell_id;label;x_px;y_px\n1;M1;1,5;10,4\n2;;3;3\n")
    (reading,) = read_readings(tmp_path / "t.csv")
    assert reading.labels == {(2.0, 10.0): "M1"}


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, "a = \ud800", "é"], ids=len)
def test_what_is_no_toml_is_one_kind_of_error(tmp_path, text):
    (tmp_path / "t.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"deeply|digits|utf-8|Expected|Invalid"):
        read_toml(tmp_path / "t.toml")


def test_a_name_that_cannot_be_is_no_file(tmp_path):
    assert not is_file(tmp_path / ("x" * 300))
    assert not is_folder(tmp_path / ("x" * 300))


def test_counts_are_not_read_from_a_pipe(pipe):
    assert not is_cells_csv(pipe)
    for read in (read_readings, lambda path: read_marks(path, None)):
        with pytest.raises(TableError, match="a pipe"):
            read(pipe)


@pytest.mark.parametrize("count", ["²", "9" * 5000, "-1", "1.5"])
def test_a_count_that_is_no_number_is_one_sentence(tmp_path, count):
    path = tmp_path / "manual.csv"
    path.write_text(f"class,A\nMyelocyte,{count}\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"Myelocyte has '.*expected a number of cells"):
        read_readings(path)


def test_a_message_stays_short_whatever_a_file_says_in_it():
    assert len(str(TableError(f"a.csv: {'9' * 10**6} is not a number; correct it."))) < 1600


def test_a_message_is_one_line_whatever_a_library_or_a_file_says_in_it():
    assert str(TableError("row 2:\n a field\r\nof two lines")) == "row 2:  a field of two lines"
