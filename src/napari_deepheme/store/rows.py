"""Rows of an analysis file, from arrays and to arrays."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.corrections import Correction, CorrectionKind, holding
from napari_deepheme.analysis.result import Facts
from napari_deepheme.analysis.sign_off import SignOff
from napari_deepheme.cells import Cells, RawOutputs, Region
from napari_deepheme.fields import Field, FieldKind
from napari_deepheme.stats.assessment import AssessmentOptions

_CELL = np.dtype(
    [("id", "i8"), ("region", "i4"), ("y", "f8"), ("x", "f8"), ("diameter", "f4"), ("score", "f4")]
)


def insert_fields(connection: sqlite3.Connection, facts: Facts) -> None:
    """All judged fields, and the rank of those to count."""
    rank = {region.name: i for i, region in enumerate(facts.regions)} if facts.fields else {}
    connection.executemany(
        "INSERT INTO fields VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                f.region.name,
                rank.get(f.region.name),
                f.kind.value,
                f.score,
                f.reason,
                f.cells,
                *f.region.bounds,
            )
            for f in facts.fields
        ],
    )


def fields_from(connection: sqlite3.Connection) -> tuple[tuple[Field, ...], tuple[Region, ...]]:
    """All fields in the order they were judged, and the regions to count in theirs."""
    rows = connection.execute("SELECT * FROM fields ORDER BY rowid").fetchall()
    fields = tuple(
        Field(Region.box(name, top, left, bottom, right), FieldKind(kind), score, reason, cells)
        for name, _, kind, score, reason, cells, top, left, bottom, right in rows
    )
    ranks = [row[1] for row in rows]
    chosen = sorted((rank, i) for i, rank in enumerate(ranks) if rank is not None)
    return fields, tuple(fields[i].region for _, i in chosen)


def insert_cells(
    connection: sqlite3.Connection, ids: NDArray[np.int64], unit: int | None, cells: Cells, raw: RawOutputs
) -> None:
    """The cells of a unit with what the members say of them."""
    numbers = ids.tolist()
    columns = (cells.yx[:, 0], cells.yx[:, 1], cells.diameter_um, cells.score)
    connection.executemany(
        "INSERT INTO cells VALUES (?, ?, ?, ?, ?, ?, ?)",
        zip(
            numbers,
            [unit] * len(numbers),
            cells.region.tolist(),
            *(column.astype(np.float64).tolist() for column in columns),
            strict=True,
        ),
    )
    if numbers:
        insert_outputs(connection, numbers[0], raw)


def insert_outputs(connection: sqlite3.Connection, first: int, raw: RawOutputs) -> None:
    """What the members say of cells with ids from ``first`` on."""
    members, distance = (np.ascontiguousarray(each).tobytes() for each in (raw.members, raw.distance))
    connection.execute(
        "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?)", (first, len(raw), members, distance)
    )


def cells_from(
    connection: sqlite3.Connection, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], Cells, RawOutputs]:
    """All cells in the order of their ids, then those that people added; ``shape`` is (members, classes)."""
    rows = connection.execute("SELECT id, region, y, x, diameter, score FROM cells ORDER BY id")
    table = np.fromiter(rows, _CELL)
    ids = table["id"]
    raw = _outputs(connection, ids, shape)
    yx = np.stack([table["y"], table["x"]], axis=1)
    cells = Cells(yx, table["diameter"], table["score"], table["region"])
    added = added_from(connection, shape)
    if added is None:
        return ids, cells, raw
    return (
        np.concatenate([ids, added[0]]),
        Cells.concatenate([cells, added[1]]),
        RawOutputs.concatenate([raw, added[2]]),
    )


def added_from(
    connection: sqlite3.Connection, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], Cells, RawOutputs] | None:
    """Cells that people added; their outputs are NaN until they are classified."""
    said = [each for each in holding(corrections_from(connection)) if each.kind is CorrectionKind.ADD]
    if not said:
        return None
    ids = np.array([each.cell for each in said], np.int64)
    ids, n = np.array([each.cell for each in said], np.int64), len(said)
    nothing = np.zeros(n, np.float32)
    yx = np.array([each.yx or (np.nan, np.nan) for each in said], np.float64)
    cells = Cells(yx, nothing, np.full(n, np.nan, np.float32), np.zeros(n, np.int32))
    classified = {first for (first,) in connection.execute("SELECT first FROM outputs WHERE first < 0")}
    unknown = RawOutputs(np.full((shape[0], 1, shape[1]), np.nan), np.full(1, np.nan))
    outputs = [
        _outputs(connection, np.array([cell]), shape) if cell in classified else unknown
        for cell in ids.tolist()
    ]
    return ids, cells, RawOutputs.concatenate(outputs)


def sign_off_row(signed: SignOff) -> tuple[object, ...]:
    """A sign-off as a row."""
    options = json.dumps(asdict(signed.options))
    return (
        signed.who,
        signed.when,
        signed.settled,
        signed.to_review,
        signed.correction,
        signed.model,
        options,
    )


def sign_offs_from(connection: sqlite3.Connection) -> tuple[SignOff, ...]:
    """All sign-offs, oldest first."""
    rows = connection.execute("SELECT * FROM sign_offs ORDER BY rowid").fetchall()
    return tuple(
        SignOff(who, when, settled, to_review, last, model, AssessmentOptions(**json.loads(options)))
        for who, when, settled, to_review, last, model, options in rows
    )


def correction_row(said: Correction) -> tuple[object, ...]:
    """A correction as a row."""
    y, x = said.yx or (None, None)
    return (said.id, said.kind.value, said.cell, y, x, said.label, said.who, said.when, said.undoes)


def corrections_from(connection: sqlite3.Connection) -> tuple[Correction, ...]:
    """What people said, oldest first."""
    rows = connection.execute("SELECT * FROM corrections ORDER BY id").fetchall()
    return tuple(
        Correction(
            number, CorrectionKind(kind), cell, who, when, None if y is None else (y, x), label, undoes
        )
        for number, kind, cell, y, x, label, who, when, undoes in rows
    )


def _outputs(connection: sqlite3.Connection, ids: NDArray[np.int64], shape: tuple[int, int]) -> RawOutputs:
    """Outputs of cells in the order of their ids; :class:`ValueError` if they do not fit."""
    members, classes = shape
    parts = [RawOutputs.empty(members, classes)]
    found = 0
    if len(ids):
        bounds = (int(ids.min()), int(ids.max()))
        query = "SELECT n, members, distance FROM outputs WHERE first BETWEEN ? AND ? ORDER BY first"
        for n, probabilities, distance in connection.execute(query, bounds):
            values = np.frombuffer(probabilities, np.float16).reshape(members, n, classes)
            parts.append(RawOutputs(values, np.frombuffer(distance, np.float32)))
            found += n
    if found != len(ids):
        raise ValueError("cells without outputs")
    return RawOutputs.concatenate(parts)
