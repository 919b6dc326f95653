"""A random audit of an analysis: cells that a person is asked to name, and what that says of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from napari_deepheme.analysis.audit_draw import AuditDraw
from napari_deepheme.analysis.corrections import Corrected, settled
from napari_deepheme.analysis.result import Analysis
from napari_deepheme.errors import OptionError
from napari_deepheme.stats.audit import Audit, corrected_by, plan_audit
from napari_deepheme.stats.quantify import AUDIT, Quantification

AUDIT_CELLS = 50
"""How many cells an audit asks for unless told otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class AuditState:
    """How far an audit is, and what it says.

    Attributes
    ----------
    waiting : tuple of int
        Ids of the drawn cells that nobody settled yet.
    n : int
        Cells drawn.
    shares : Quantification
        Shares of the classes of ``analysis.taxonomy``; refused, with the reason, until all are settled.
    """

    waiting: tuple[int, ...]
    n: int
    shares: Quantification


def draw_audit(analysis: Analysis, cells: int = AUDIT_CELLS, *, who: str, seed: int = 0) -> AuditDraw:
    """Draw cells at random within each called class, among those that nobody settled.

    Raises
    ------
    OptionError
        Fewer than one cell is asked for, or every cell is settled.
    """
    counting, known = analysis.counting(), settled(analysis.corrections)
    rows = np.flatnonzero((counting.ids > 0) & ~np.isin(counting.ids, list(known)))
    if not len(rows):
        raise OptionError("Every cell is settled by a person already: there is nothing to audit.")
    calls, _ = counting.called()
    drawn = counting.ids[rows[plan_audit(calls[rows], cells, seed)]]
    facts = analysis.facts
    return AuditDraw(
        tuple(drawn.tolist()),
        who,
        datetime.now(UTC).isoformat(timespec="seconds"),
        facts.options.assessment,
        analysis.model,
    )


def named_at_random(analysis: Analysis) -> frozenset[int]:
    """Ids of the cells of an audit; none while some wait for a name: what was named first is no sample."""
    draw = analysis.audit
    cells = frozenset(() if draw is None else draw.cells)
    return cells if cells <= settled(analysis.corrections).keys() else frozenset()


def audited(analysis: Analysis) -> AuditState | None:
    """What the audit of an analysis says of its shares; None where none was drawn.

    The cells are taken as they were called when it was drawn, whatever thresholds hold now: the chance of a
    cell to be drawn followed from its call.
    """
    draw = analysis.audit
    if draw is None:
        return None
    known = settled(analysis.corrections)
    waiting = tuple(cell for cell in draw.cells if cell not in known)
    k = len(analysis.taxonomy.codes)
    if draw.model != analysis.model:
        why = f"it was drawn for the calls of {draw.model}; draw another"
        return AuditState(waiting, len(draw.cells), Quantification.refused(AUDIT, k, why))
    if waiting:
        why = f"{len(waiting)} of its {len(draw.cells)} cells are not named yet"
        return AuditState(waiting, len(draw.cells), Quantification.refused(AUDIT, k, why))
    return AuditState((), len(draw.cells), _shares(analysis, draw, known))


def _shares(analysis: Analysis, draw: AuditDraw, known: Mapping[int, Corrected]) -> Quantification:
    """Shares from a finished audit; what is no cell is a class of its own that is not counted."""
    taxonomy, none = analysis.taxonomy, len(analysis.taxonomy.codes)
    index = {code: i for i, code in enumerate(taxonomy.codes)}
    counting = analysis.counting(draw.options)
    calls, _ = counting.called(draw.options)
    ids, drawn = counting.ids.tolist(), set(draw.cells)
    truth: list[int] = []
    inside: list[int] = []
    audited_rows: list[int] = []
    named = np.zeros(none + 1, int)
    for row, cell in enumerate(ids):
        said = known.get(cell)
        label = none if said is None else _label(said, calls[row], index, none)
        if said is not None and cell not in drawn:
            named[label] += cell > 0 or bool(said.label)  # an added cell that has no name is not counted
            continue
        if cell in drawn:
            audited_rows.append(len(inside))
        inside.append(calls[row])
        truth.append(label)
    audit = Audit.of(
        np.array(inside, np.intp),
        np.array(truth, np.intp),
        np.array(audited_rows, np.intp),
        none + 1,
        named,
    )
    counted = np.array([*(each.counted for each in taxonomy.classes), False])
    shares = corrected_by(audit, counted=counted)
    return Quantification(
        shares.method, shares.fractions[:none], shares.low[:none], shares.high[:none], shares.refusal
    )


def _label(said: Corrected, call: int, index: Mapping[str, int], none: int) -> int:
    """Class index that holds for a settled cell."""
    return none if said.deleted else index.get(said.label, call)
