"""The command ``agree``: how far counts of one slide agree."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from napari_deepheme.cli.facts import is_analysis
from napari_deepheme.cli.printing import OUT, RESEARCH_USE, plain, print_json, print_line
from napari_deepheme.taxonomy import known_classes

if TYPE_CHECKING:
    from napari_deepheme.stats.comparison import Line
    from napari_deepheme.stats.readings import FieldSpread, PairAgreement, Reading


def agree(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Counts of one slide: analysis files, cells.csv, differential CSV, or a manual count "
            "(classes in the first column, a reader in each other)."
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.")
    ] = False,
) -> None:
    """Compare counts of one slide: a model's, several readers', a manual count."""
    from napari_deepheme.stats.readings import agreement  # noqa: PLC0415  commands share no imports

    result = agreement([reading for file in files for reading in _readings(file)])
    if as_json:
        print_json(result.to_json())
        return
    for pair in result.pairs:
        _print_pair(pair)
    for spread in result.fields:
        print_line(_fields(spread))
    if math.isfinite(result.fleiss_kappa):
        print_line(f"Fleiss' kappa of all readings, cell by cell: {result.fleiss_kappa:.3f}")
    print_line(RESEARCH_USE)


def _readings(path: Path) -> tuple[Reading, ...]:
    from napari_deepheme.given.counts import read_readings, reading_of_cells  # noqa: PLC0415

    if not is_analysis(path):
        return read_readings(path)
    from napari_deepheme.export.table import cells_table  # noqa: PLC0415
    from napari_deepheme.store import open_analysis  # noqa: PLC0415

    with open_analysis(path) as file:
        return (reading_of_cells(cells_table(file.analysis()), path),)


def _print_pair(pair: PairAgreement) -> None:
    title = f"{pair.second} less {pair.first} ({pair.n[1]} and {pair.n[0]} cells)"
    table = Table(title=Text(plain(title)))
    table.add_column("class")
    for name in ("first %", "second %", "difference", "95 % interval", "±20 % or ±2 points"):
        table.add_column(name, justify="right")
    names = {c.code: c.name for c in known_classes(row.code for row in pair.classes).classes}
    for row in pair.classes:
        figures = (f"{100 * value:.1f}" for value in (row.first, row.second))
        interval = f"{100 * row.low:+.1f} to {100 * row.high:+.1f}"
        agrees = "yes" if row.agrees else "no"
        table.add_row(names[row.code], *figures, f"{100 * row.difference:+.1f}", interval, agrees)
    OUT.print(table)
    shares = ", ".join(f"{size} cells {100 * share:.0f} %" for size, share in pair.within_rumke.items())
    print_line(f"Classes that agree within ±20 % or ±2 points: {100 * pair.agreeing:.0f} %")
    print_line(f"Classes within Rümke's limits of a manual count of {shares}")
    limits = pair.bland_altman
    print_line(
        f"Bland-Altman over the classes: mean {limits.bias:+.2f} points, limits of agreement "
        f"{limits.low:+.2f} to {limits.high:+.2f}"
    )
    print_line(f"Passing-Bablok: {_line(pair.passing_bablok)}; Deming: {_line(pair.deming)}")
    if pair.shared_cells:
        print_line(f"Cohen's kappa on {pair.shared_cells} cells both named: {pair.kappa:.3f}")


def _fields(spread: FieldSpread) -> str:
    more = ", ".join(f"{code} {100 * s:.1f}" for code, s in spread.between.items())
    beyond = f"; between fields by more than chance, standard deviation in points: {more}" if more else ""
    effect = f"design effect {spread.design_effect:.2f}, p = {spread.p:.2g}"
    return f"{spread.name}: {spread.fields} fields, {effect}{beyond}"


def _line(line: Line) -> str:
    if not math.isfinite(line.slope):
        return "not determined"
    low, high = line.slope_interval
    return f"slope {line.slope:.3f} ({low:.3f} to {high:.3f}), intercept {line.intercept:+.2f}"
