"""The lines of the Summary: a differential as text for a person. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.stats.differential import Differential, DifferentialRow, LineageRow
from napari_deepheme.taxonomy import Taxonomy

FIGURE_SPACE = "\u2007"
"""As wide as a digit: keeps columns of numbers still."""

NUMBER_HEADERS = ("n", "%", "95 % int.", "unc.")


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
    """

    name: str
    code: str
    colour: str
    numbers: tuple[str, ...]


def summary_rows(labels: Sequence[str], entropy: NDArray[np.float64], taxonomy: Taxonomy) -> list[Row]:
    """Lines of the table: lineages with more than one class have a heading with their sum.

    Raises
    ------
    TaxonomyError
        A label is not a class of the taxonomy.
    """
    differential = Differential.of(labels, entropy, taxonomy)
    rows = {row.cell_class.code: row for row in differential.rows}
    lines: list[Row] = []
    for lineage in differential.lineages:
        if len(lineage.codes) > 1:
            lines.append(Row(lineage.lineage.value.capitalize(), "", "", _numbers(lineage)))
        lines.extend(_line(rows[code]) for code in lineage.codes)
    left_out = [row for row in differential.rows if not row.counted]
    if left_out:
        total = sum(row.count for row in left_out)
        lines.append(Row("Not counted", "", "", (str(total), "", "", "")))
    return lines + [_line(row) for row in left_out]


def _line(row: DifferentialRow) -> Row:
    return Row(row.cell_class.name, row.cell_class.code, row.cell_class.colour, _numbers(row))


def _numbers(row: DifferentialRow | LineageRow) -> tuple[str, ...]:
    share = "" if np.isnan(row.fraction) else f"{100 * row.fraction:.1f}"
    interval = "" if np.isnan(row.low) else f"{_percent(row.low)}–{_percent(row.high)}"
    doubt = "" if np.isnan(row.mean_entropy) else f"{row.mean_entropy:.2f}"
    return str(row.count), share, interval, doubt


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}".rjust(4, FIGURE_SPACE)
