"""Rows of an analysis file, from arrays and to arrays."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, fields

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from napari_deepheme.analysis.corrections import Correction, CorrectionKind, holding
from napari_deepheme.analysis.result import Facts
from napari_deepheme.analysis.sign_off import SignOff
from napari_deepheme.cells import FARTHEST_PX, Cells, RawOutputs, Region
from napari_deepheme.fields import Field, FieldKind

_CELL = np.dtype(
    [("id", "i8"), ("region", "i4"), ("y", "f8"), ("x", "f8"), ("diameter", "f4"), ("score", "f4")]
)
_CORRECTION, _SIGN_OFF = TypeAdapter(Correction), TypeAdapter(SignOff)
_SUM = 0.02
"""How far from one the sum of a row of half-precision probabilities may be."""


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
    judged = tuple(
        Field(
            Region.box(str(name), top, left, bottom, right),
            FieldKind(kind),
            float(score),
            str(reason),
            float(cells),
        )
        for name, _, kind, score, reason, cells, top, left, bottom, right in rows
    )
    ranks = [row[1] for row in rows]
    chosen = sorted((rank, i) for i, rank in enumerate(ranks) if rank is not None)
    return judged, tuple(judged[i].region for _, i in chosen)


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
    connection: sqlite3.Connection, shape: tuple[int, int], regions: int
) -> tuple[NDArray[np.int64], Cells, RawOutputs]:
    """All cells in the order of their ids, then those that people added.

    Parameters
    ----------
    connection : sqlite3.Connection
    shape : tuple of int
        Members and classes.
    regions : int
        How many there are for cells to lie in.

    Raises
    ------
    ValueError
        The rows do not fit each other, or hold what no run wrote.
    """
    rows = connection.execute("SELECT id, region, y, x, diameter, score FROM cells ORDER BY id")
    table = np.fromiter(rows, _CELL)
    ids = table["id"]
    raw = _outputs(connection, ids, shape)
    yx = np.stack([table["y"], table["x"]], axis=1)
    cells = Cells(yx, table["diameter"], table["score"], table["region"])
    added = added_from(connection, shape)
    if added is not None:
        ids = np.concatenate([ids, added[0]])
        cells = Cells.concatenate([cells, added[1]])
        raw = RawOutputs.concatenate([raw, added[2]])
    if not (np.abs(cells.yx) < FARTHEST_PX).all():  # neither where nothing can be, nor NaN
        raise ValueError("cells that lie nowhere")
    if not ((cells.region >= -1) & (cells.region < max(regions, 1))).all():
        raise ValueError("cells of regions that are not there")
    return ids, cells, raw


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
    names = [column.name for column in fields(SignOff)]
    return tuple(
        _SIGN_OFF.validate_python(dict(zip(names, (*row[:-1], json.loads(row[-1])), strict=True)))
        for row in rows
    )


def correction_row(said: Correction) -> tuple[object, ...]:
    """A correction as a row."""
    y, x = said.yx or (None, None)
    return (said.id, said.kind.value, said.cell, y, x, said.label, said.who, said.when, said.undoes)


def corrections_from(connection: sqlite3.Connection) -> tuple[Correction, ...]:
    """What people said, oldest first."""
    rows = connection.execute("SELECT * FROM corrections ORDER BY id").fetchall()
    said = tuple(
        _CORRECTION.validate_python(
            {
                "id": number, "kind": kind, "cell": cell, "who": who, "when": when,
                "yx": None if y is None and x is None else (y, x), "label": label, "undoes": undoes,
            }
        )
        for number, kind, cell, y, x, label, who, when, undoes in rows
    )  # fmt: skip
    if not all(abs(value) < FARTHEST_PX for each in said for value in each.yx or ()):
        raise ValueError("corrections of what lies nowhere")
    return said


def outputs_of(n: int, probabilities: bytes, distance: bytes, shape: tuple[int, int]) -> RawOutputs:
    """Outputs of n cells from a row; ``shape`` is (members, classes).

    Raises
    ------
    ValueError
        The row was altered: it has another size, or probabilities that do not sum to one.
    """
    if n < 1:
        raise ValueError(f"a row of {n} cells")
    values = np.frombuffer(probabilities, np.float16).reshape(shape[0], n, shape[1])
    single = values.astype(np.float32)  # twice as fast as sums of half precision
    odd = ~(np.abs(single @ np.ones(shape[1], np.float32) - 1) < _SUM)
    # a cascade need not ask further members than the first
    if (single < 0).any() or odd[0].any() or not np.isnan(single[odd]).all():
        raise ValueError("probabilities that do not sum to one")
    return RawOutputs(values, np.frombuffer(distance, np.float32))


def _outputs(connection: sqlite3.Connection, ids: NDArray[np.int64], shape: tuple[int, int]) -> RawOutputs:
    """Outputs of cells in the order of their ids; :class:`ValueError` if they do not fit."""
    members, classes = shape
    parts = [RawOutputs.empty(members, classes)]
    of = [np.zeros(0, np.int64)]
    if len(ids):
        bounds = (int(ids.min()), int(ids.max()))
        query = "SELECT first, n, members, distance FROM outputs WHERE first BETWEEN ? AND ? ORDER BY first"
        for first, n, probabilities, distance in connection.execute(query, bounds):
            parts.append(outputs_of(n, probabilities, distance, shape))
            of.append(np.arange(first, first + n))
    if not np.array_equal(np.concatenate(of), ids):
        raise ValueError("cells without outputs")
    return RawOutputs.concatenate(parts)
