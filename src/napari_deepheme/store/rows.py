"""Rows of an analysis file, from arrays and to arrays."""

from __future__ import annotations

import sqlite3

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.corrections import Correction, CorrectionKind, holding
from napari_deepheme.analysis.result import Facts
from napari_deepheme.cells import Cells, RawOutputs, Region
from napari_deepheme.fields import Field, FieldKind


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
    blobs = [each.tobytes() for each in raw.members.transpose(1, 0, 2)]
    # NaN becomes NULL
    distances = raw.distance.astype(np.float64).tolist()
    connection.executemany(
        "INSERT INTO outputs VALUES (?, ?, ?)", zip(numbers, blobs, distances, strict=True)
    )


def read_cells(
    connection: sqlite3.Connection, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], Cells, RawOutputs]:
    """All cells in the order of their ids, then those that people added; ``shape`` is (members, classes)."""
    ids = _column(connection, "SELECT id FROM cells ORDER BY id").astype(np.int64)
    y, x, diameter, score, region = (
        _column(connection, f"SELECT {name} FROM cells ORDER BY id")
        for name in ("y", "x", "diameter", "score", "region")
    )
    outputs = connection.execute(
        "SELECT o.members FROM cells c JOIN outputs o ON o.cell = c.id ORDER BY c.id"
    ).fetchall()
    distance = _column(
        connection, "SELECT o.distance FROM cells c JOIN outputs o ON o.cell = c.id ORDER BY c.id"
    )
    if len(outputs) != len(ids):
        raise ValueError("cells without outputs")
    raw = RawOutputs(_members([row[0] for row in outputs], shape), distance.astype(np.float32))
    cells = Cells(
        np.stack([y, x], axis=1),
        diameter.astype(np.float32),
        score.astype(np.float32),
        region.astype(np.int32),
    )
    added = read_added(connection, shape)
    if added is None:
        return ids, cells, raw
    return (
        np.concatenate([ids, added[0]]),
        Cells.concatenate([cells, added[1]]),
        RawOutputs.concatenate([raw, added[2]]),
    )


def read_added(
    connection: sqlite3.Connection, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], Cells, RawOutputs] | None:
    """Cells that people added; their outputs are NaN until they are classified."""
    said = [each for each in holding(read_corrections(connection)) if each.kind is CorrectionKind.ADD]
    if not said:
        return None
    ids = np.array([each.cell for each in said], np.int64)
    found = {
        cell: (members, distance)
        for cell, members, distance in connection.execute(
            "SELECT cell, members, distance FROM outputs WHERE cell < 0"
        )
    }
    unknown = np.full(shape, np.nan, np.float16).tobytes()
    outputs = [found.get(each.cell, (unknown, None)) for each in said]
    n = len(said)
    nothing = np.zeros(n, np.float32)
    yx = np.array([each.yx or (np.nan, np.nan) for each in said], np.float64)
    cells = Cells(yx, nothing, np.full(n, np.nan, np.float32), np.zeros(n, np.int32))
    distance = np.array([np.nan if each[1] is None else each[1] for each in outputs], np.float32)
    return ids, cells, RawOutputs(_members([each[0] for each in outputs], shape), distance)


def correction_row(said: Correction) -> tuple[object, ...]:
    """A correction as a row."""
    y, x = said.yx or (None, None)
    return (said.id, said.kind.value, said.cell, y, x, said.label, said.who, said.when, said.undoes)


def read_corrections(connection: sqlite3.Connection) -> tuple[Correction, ...]:
    """What people said, oldest first."""
    rows = connection.execute("SELECT * FROM corrections ORDER BY id").fetchall()
    return tuple(
        Correction(
            number, CorrectionKind(kind), cell, who, when, None if y is None else (y, x), label, undoes
        )
        for number, kind, cell, y, x, label, who, when, undoes in rows
    )


def _column(connection: sqlite3.Connection, query: str) -> NDArray[np.float64]:
    """One column of numbers; NULL is NaN."""
    rows = connection.execute(query).fetchall()
    return np.array([row[0] for row in rows], np.float64)


def _members(blobs: list[bytes], shape: tuple[int, int]) -> NDArray[np.float16]:
    flat = np.frombuffer(b"".join(blobs), np.float16)
    if flat.size != len(blobs) * shape[0] * shape[1]:
        raise ValueError("outputs of another model")
    return flat.reshape(len(blobs), *shape).transpose(1, 0, 2)
