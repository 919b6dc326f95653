"""The lines of the Summary: a differential as text for a person. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_deepheme.stats.differential import Differential, DifferentialRow, LineageRow
from napari_deepheme.stats.planning import PRECISION

FIGURE_SPACE = "\u2007"
"""As wide as a digit: keeps columns of numbers still."""

NUMBER_HEADERS = ("n", "%", "sampling", "done")

Progress = Mapping[str, tuple[int, int]]
"""Of a class: cells that a person settled, and those that wait for one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
        A class, or a heading over several.
    code, colour : str
        Of the class; empty for a heading.
    numbers : tuple of str
        One for each of :data:`NUMBER_HEADERS`.
    codes : tuple of str
        The classes it is about.
    plan : str
        How many more cells make a class as precise as is usually asked; empty where it is not counted.
    """

    name: str
    code: str
    colour: str
    numbers: tuple[str, ...]
    codes: tuple[str, ...] = ()
    plan: str = ""


def summary_rows(differential: Differential, progress: Progress | None = None) -> list[Row]:
    """Lines of the table: lineages with more than one class have a heading with their sum."""
    rows = {row.cell_class.code: row for row in differential.rows}
    known = progress or {}
    lines: list[Row] = []
    for lineage in differential.lineages:
        if len(lineage.codes) > 1:
            numbers = _numbers(lineage, lineage.codes, known)
            lines.append(Row(lineage.lineage.value.capitalize(), "", "", numbers, lineage.codes))
        lines.extend(_line(rows[code], known, _plan(differential, code)) for code in lineage.codes)
    left_out = [row for row in differential.rows if not row.counted]
    if left_out:
        codes = tuple(row.cell_class.code for row in left_out)
        total = sum(row.count for row in left_out)
        numbers = (str(total), "", "", _reviewed(codes, known))
        lines.append(Row("Not counted", "", "", numbers, codes))
    return lines + [_line(row, known) for row in left_out]


def index_lines(differential: Differential) -> list[str]:
    """The indices with their intervals, what the model has no class for, and how far the count is."""
    lines = [each.words for each in differential.indices.values()]
    if differential.unknown:
        names = ", ".join(each.name.lower() for each in differential.unknown)
        lines.append(f"Unknown to the model, so called something else and missing in the ratios: {names}.")
    return [*lines, *differential.plan]


def _line(row: DifferentialRow, progress: Progress, plan: str = "") -> Row:
    known, code = row.cell_class, row.cell_class.code
    return Row(known.name, code, known.colour, _numbers(row, (code,), progress), (code,), plan)


def _plan(differential: Differential, code: str) -> str:
    if not differential.n_counted:
        return ""
    more = differential.more_cells(code, PRECISION)
    return f"± {100 * PRECISION:g} points: " + (f"{more} more cells" if more else "known already")


def _numbers(
    row: DifferentialRow | LineageRow, codes: tuple[str, ...], progress: Progress
) -> tuple[str, ...]:
    share = "" if np.isnan(row.fraction) else f"{100 * row.fraction:.1f}"
    interval = "" if np.isnan(row.low) else f"{_percent(row.low)}–{_percent(row.high)}"
    return str(row.count), share, interval, _reviewed(codes, progress)


def _reviewed(codes: tuple[str, ...], progress: Progress) -> str:
    done, waiting = (sum(progress.get(code, (0, 0))[i] for code in codes) for i in (0, 1))
    return f"{done}/{done + waiting}" if done + waiting else ""


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}".rjust(4, FIGURE_SPACE)
