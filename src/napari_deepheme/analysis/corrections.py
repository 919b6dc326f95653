"""What people say of cells: appended, never changed, undone by saying so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class CorrectionKind(StrEnum):
    """What a correction does."""

    LABEL = "label"
    """A cell is of another class; also said of a cell whose class was right, it settles that."""
    MOVE = "move"
    """A cell lies elsewhere."""
    DELETE = "delete"
    """That is no cell."""
    ADD = "add"
    """A cell was missed."""
    UNDO = "undo"
    """An earlier correction does not hold; undoing an undo makes it hold again."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One thing that a person said.

    Attributes
    ----------
    id : int
        From 1 on, in the order they were said.
    kind : CorrectionKind
    cell : int
        Id of the cell; negative for cells that people added.
    who : str
        Name of the person.
    when : str
        Time in UTC, ISO 8601.
    yx : tuple of float or None
        Where the cell lies, level-0 pixels, for a move and an addition.
    label : str
        Class code, for a label and an addition; may be empty for an addition.
    undoes : int or None
        Id of the correction that no longer holds.
    """

    id: int
    kind: CorrectionKind
    cell: int
    who: str
    when: str
    yx: tuple[float, float] | None = None
    label: str = ""
    undoes: int | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """What holds of one cell after all corrections.

    Attributes
    ----------
    label : str
        Class code that a person gave; empty if nobody did.
    yx : tuple of float or None
        Where a person put it.
    added, deleted : bool
    who, when : str
        Of the last correction that holds.
    """

    label: str = ""
    yx: tuple[float, float] | None = None
    added: bool = False
    deleted: bool = False
    who: str = ""
    when: str = ""


def undone(corrections: Iterable[Correction]) -> set[int]:
    """Ids of the corrections, undo rows among them, that no longer hold."""
    taken_back: set[int] = set()
    for each in sorted(corrections, key=lambda correction: -correction.id):
        if each.kind is CorrectionKind.UNDO and each.undoes is not None and each.id not in taken_back:
            taken_back.add(each.undoes)
    return taken_back


def holding(corrections: Sequence[Correction]) -> list[Correction]:
    """The corrections that hold, oldest first, without undo rows."""
    gone = undone(corrections)
    return [each for each in corrections if each.id not in gone and each.kind is not CorrectionKind.UNDO]


def redoable(corrections: Sequence[Correction]) -> Correction | None:
    """The undo that a redo takes back: the last, if nothing new was said since; None if there is none."""
    gone, by_id = undone(corrections), {each.id: each for each in corrections}
    for each in reversed(corrections):
        if each.id in gone:
            continue
        if each.kind is not CorrectionKind.UNDO or each.undoes is None:
            return None
        # an undo of an undo is itself a redo: the one before it is looked for
        if by_id[each.undoes].kind is not CorrectionKind.UNDO:
            return each
    return None


def settled(corrections: Sequence[Correction]) -> Mapping[int, Corrected]:
    """What holds of each cell that anybody corrected, by its id."""
    cells: dict[int, Corrected] = {}
    for each in holding(corrections):
        now = replace(cells.get(each.cell, Corrected()), who=each.who, when=each.when)
        if each.kind is CorrectionKind.DELETE:
            now = replace(now, deleted=True)
        if each.kind is CorrectionKind.ADD:
            now = replace(now, added=True, deleted=False)
        if each.kind in (CorrectionKind.LABEL, CorrectionKind.ADD) and each.label:
            now = replace(now, label=each.label)
        if each.yx is not None:
            now = replace(now, yx=each.yx)
        cells[each.cell] = now
    return cells
