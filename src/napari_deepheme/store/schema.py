"""The tables of an analysis file, and what brings older files up to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import cache

APPLICATION_ID = 0x44484D45
"""Tells an analysis file from any other SQLite file ("DHME")."""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE fields (
    name TEXT PRIMARY KEY, rank INTEGER, kind TEXT NOT NULL, score REAL NOT NULL, reason TEXT NOT NULL,
    cells REAL NOT NULL, top REAL NOT NULL, lft REAL NOT NULL, bottom REAL NOT NULL, rgt REAL NOT NULL
);
CREATE TABLE units (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, failure TEXT NOT NULL, seconds REAL NOT NULL
);
CREATE TABLE cells (
    id INTEGER PRIMARY KEY, unit INTEGER, region INTEGER NOT NULL, y REAL NOT NULL, x REAL NOT NULL,
    diameter REAL NOT NULL, score REAL NOT NULL
);
CREATE TABLE outputs (
    first INTEGER PRIMARY KEY, n INTEGER NOT NULL, members BLOB NOT NULL, distance BLOB NOT NULL
);
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, cell INTEGER NOT NULL, y REAL, x REAL,
    label TEXT NOT NULL, who TEXT NOT NULL, at TEXT NOT NULL, undoes INTEGER
);
"""
"""``fields``: every judged field, ``rank`` its place among those to count. ``cells``: level-0 pixels, µm.
``outputs``: of ``n`` cells with ids from ``first`` on, the probabilities of the members, float16 (m, n, k),
and the out-of-distribution distances, float32 (n,); a row a unit, for a million rows take seconds to read."""

LEARNING = """
CREATE TABLE models (
    number INTEGER PRIMARY KEY, bundle TEXT NOT NULL, folder TEXT NOT NULL, calibration TEXT NOT NULL,
    cells INTEGER NOT NULL, who TEXT NOT NULL, at TEXT NOT NULL, calibration_cells BLOB NOT NULL
);
CREATE TABLE learned_outputs (
    model INTEGER NOT NULL, first INTEGER NOT NULL, n INTEGER NOT NULL, members BLOB NOT NULL,
    distance BLOB NOT NULL, UNIQUE (model, first)
);
CREATE TABLE sign_offs (
    who TEXT NOT NULL, at TEXT NOT NULL, settled INTEGER NOT NULL, to_review INTEGER NOT NULL,
    correction INTEGER NOT NULL, model TEXT NOT NULL, options TEXT NOT NULL
);
"""
"""``models``: those that learned from the corrections, ``calibration`` the slide's for each; which one is in
use says the key ``model in use`` of ``meta``, and without it the run's own is. ``learned_outputs``: what they
say of the cells, as ``outputs``. ``sign_offs``: rows that are only ever appended."""


def _learning(connection: sqlite3.Connection) -> None:
    for statement in LEARNING.split(";"):
        connection.execute(statement)


UPGRADES: tuple[Callable[[sqlite3.Connection], None], ...] = (_learning,)
"""The first brings format 1 to format 2, and so on. Each changes the tables and nothing else."""

FORMAT = 1 + len(UPGRADES)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, in one transaction."""
    connection.executescript(
        f"BEGIN; {TABLES} {LEARNING} PRAGMA application_id = {APPLICATION_ID}; "
        f"PRAGMA user_version = {FORMAT}; COMMIT;"
    )


def check_schema(connection: sqlite3.Connection, version: int) -> None:
    """Refuse a file that holds anything but the tables of its format, each page of them once.

    A view, a trigger or a computed column is a program of whoever made the file: it may never end, or change
    what is written. So may tables whose pages lead to themselves.

    Raises
    ------
    ValueError
        It does.
    """
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL LIMIT 100")
    if _plain(found) != _tables(version):
        raise ValueError("its tables are not those of an analysis")
    ((said,),) = connection.execute("PRAGMA quick_check(1)")
    if said != "ok":
        raise ValueError(str(said))


@cache
def _tables(version: int) -> list[str]:
    """What SQLite keeps of the tables of a format."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        for each in UPGRADES[: max(0, version - 1)]:
            each(connection)
        return _plain(connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))


def _plain(rows: Iterable[tuple[object]]) -> list[str]:
    """Statements without what says nothing: spaces, and a default that the first files of format 2 have."""
    return sorted("".join(str(sql).split()).replace("DEFAULTx''", "") for (sql,) in rows)


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables of an older file to this format, in one transaction."""
    if version == FORMAT:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")  # sqlite3 begins none for CREATE
        for each in UPGRADES[version - 1 :]:
            each(connection)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
