"""An analysis file that somebody altered is refused in a sentence: it runs nothing and comes to an end."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from napari_deepheme.errors import AnalysisFileError
from napari_deepheme.store import open_analysis

GOLDEN = Path(__file__).parent / "golden" / "format-2.deepheme.db"


def read(path: Path) -> None:
    with open_analysis(path) as file:
        file.analysis()
        file.models()
        file.done()


def altered(folder: Path, *statements: str, values: tuple[object, ...] = ()) -> Path:
    path = folder / "a.deepheme.db"
    shutil.copyfile(GOLDEN, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement, values)
    return path


def refused(path: Path, why: str) -> None:
    with pytest.raises(AnalysisFileError, match=why) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_the_golden_file_is_read(tmp_path):
    read(altered(tmp_path))


@pytest.mark.parametrize(
    "statements",
    [
        (
            "ALTER TABLE units RENAME TO others",
            "CREATE VIEW units AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS number, 'a' AS key, '' AS failure, 0.0 AS seconds FROM n",
        ),
        ("CREATE TRIGGER t AFTER INSERT ON corrections BEGIN DELETE FROM cells; END",),
        ("ALTER TABLE cells ADD COLUMN more AS (y + 1)",),
        ("CREATE INDEX i ON cells (y)",),
        ("CREATE TABLE more (a)",),
        ("DROP TABLE sign_offs",),
    ],
)
def test_tables_of_ones_own_are_refused(tmp_path, statements):
    """A view may never end, and a trigger changes what is written."""
    refused(altered(tmp_path, *statements), "tables are not those of an analysis")


def test_pages_that_lead_to_themselves_are_refused(tmp_path):
    """A table of a few pages, each read as often as there are ways to it, would never end."""
    path = altered(tmp_path)
    data = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'cells'").fetchone()
        (other,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'units'").fetchone()
    page = bytearray(size)
    cells = b"".join(other.to_bytes(4, "big") + bytes([key]) for key in (1, 2))
    page[:12] = b"\x05\0\0\0\x02" + (size - len(cells)).to_bytes(2, "big") + b"\0" + other.to_bytes(4, "big")
    page[12:16] = (size - 10).to_bytes(2, "big") + (size - 5).to_bytes(2, "big")
    page[size - len(cells) :] = cells
    data[(root - 1) * size : root * size] = page
    path.write_bytes(data)
    refused(path, "damaged or no analysis file")


def test_a_format_before_the_first_is_refused(tmp_path):
    refused(altered(tmp_path, "PRAGMA user_version = -1"), "knows no analysis")


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE cells SET y = ? WHERE id = 1", 1e300),
        ("UPDATE cells SET x = ? WHERE id = 1", float("inf")),
        ("UPDATE cells SET y = ? WHERE id = 1", b"x"),
        ("UPDATE cells SET region = ? WHERE id = 1", 99),
        ("UPDATE cells SET id = ? WHERE id = 1", 1000),
        ("UPDATE fields SET top = ?", float("-inf")),
        ("UPDATE fields SET score = ?", b"x"),
        ("UPDATE outputs SET n = ?", -1),
        ("UPDATE outputs SET n = ?", 2**62),
        ("UPDATE outputs SET first = first + ?", 1),
        ("UPDATE outputs SET members = ?", b""),
        ("UPDATE cells SET unit = ?", "x"),
        ("UPDATE outputs SET distance = ?", "x"),
        ("UPDATE corrections SET y = 1.0, x = ? WHERE kind = 'add'", None),
        ("UPDATE corrections SET y = 1.0, x = ? WHERE kind = 'add'", 1e300),
        ("UPDATE corrections SET cell = ?", "x"),
        ("UPDATE sign_offs SET settled = ?", "x"),
        ("UPDATE sign_offs SET options = ?", "[" * 5000),
        ("UPDATE models SET calibration = ?", ""),
        ("UPDATE models SET bundle = ?", b"\xff"),
        ("UPDATE meta SET value = ? WHERE key = 'model in use'", "x"),
        ("UPDATE meta SET value = ? WHERE key = 'slide'", "9" * 400),
        ("UPDATE meta SET value = ? WHERE key = 'calibration'", None),
        ("INSERT OR REPLACE INTO meta VALUES ('audit', ?)", ""),
        ("INSERT OR REPLACE INTO meta VALUES ('given_cells', ?)", b"PK\3\4"),
        (
            "UPDATE meta SET value = ? WHERE key = 'asked_regions'",
            json.dumps([{"name": "a", "outline": [0]}]),
        ),
    ],
)
def test_a_value_that_no_run_wrote_is_refused(tmp_path, statement, value):
    refused(altered(tmp_path, statement, values=(value,)), "damaged or no analysis file|cannot be read")


@pytest.mark.parametrize("value", [np.nan, -1.0, 0.5, np.inf])
def test_probabilities_that_do_not_sum_to_one_are_refused(tmp_path, value):
    path = altered(tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        first, members = connection.execute("SELECT first, members FROM outputs").fetchone()
        changed = np.frombuffer(members, np.float16).copy()
        changed[0] = value if changed[0] != value else 0.25
        connection.execute("UPDATE outputs SET members = ? WHERE first = ?", (changed.tobytes(), first))
    refused(path, "sum to one")
