"""How results, progress and errors look in a terminal."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.jobs import Job, Progress, drain

if TYPE_CHECKING:
    from napari_deepheme.export.reliability import Reliability
    from napari_deepheme.stats.differential import Differential, DifferentialRow, LineageRow
    from napari_deepheme.stats.references import ReferenceSet

R = TypeVar("R")
OUT, ERR = Console(), Console(stderr=True)
_LINE_EVERY = 60.0  # seconds
RESEARCH_USE = "Research use only. Not for diagnosis."


def with_bar(job: Job[R]) -> R:
    """Drain a job behind a progress bar on stderr; where that is no terminal, a line a minute."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[message]}", markup=False),
    )
    with Bar(*columns, TimeRemainingColumn(), console=ERR, transient=True) as bar:
        task = bar.add_task("", total=None, message="")
        last = time.monotonic()

        def report(progress: Progress) -> None:
            nonlocal last
            bar.update(
                task,
                description=plain(progress.stage),
                completed=progress.done,
                total=progress.total or None,
                message=plain(progress.message),
            )
            if not ERR.is_terminal and time.monotonic() - last >= _LINE_EVERY:
                last = time.monotonic()
                ERR.print(_line(progress, bar.tasks[task].time_remaining), soft_wrap=True, markup=False)

        return drain(job, report)


def _line(progress: Progress, seconds_left: float | None) -> str:
    parts = [progress.stage]
    if progress.total:
        parts.append(f"{progress.done} of {progress.total}")
    if progress.message:
        parts.append(progress.message)
    if seconds_left is not None:
        parts.append(f"{math.ceil(seconds_left / 60)} min left")
    return ", ".join(parts)


def plain(text: str) -> str:
    """Text of files and people as a terminal may show it: no code in it moves the cursor or sets a colour."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def use_plain_streams() -> None:
    """Have characters that the terminal, or the file behind a redirect, cannot hold replaced by "?".

    A Windows redirect holds cp1252, and ``LANG=C`` ASCII: one ● must not end a batch of slides.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_line(text: str) -> None:
    """Print a line of plain text, paths unbroken."""
    OUT.print(plain(text), soft_wrap=True, highlight=False, markup=False)


def print_facts(facts: dict[str, object]) -> None:
    """Print names and values as a list for a person."""
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), Text(plain(_shown(value))))
    OUT.print(table)


def print_scores(scores: list[tuple[str, str, str]]) -> None:
    """Print figures with their 95 % intervals."""
    table = Table()
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for score in scores:
        table.add_row(*(Text(plain(text)) for text in score))
    OUT.print(table)


def print_json(document: dict[str, object]) -> None:
    """Print one JSON document, nothing else."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_error(err: DeepHemeError) -> None:
    """Print what is wrong in one line on stderr."""
    ERR.print(f"Error: {plain(str(err))}", soft_wrap=True, highlight=False, markup=False, style="red")


def print_warning(text: str) -> None:
    """Print a remark that costs no exit code, on stderr."""
    ERR.print(f"Warning: {plain(text)}", soft_wrap=True, highlight=False, markup=False, style="yellow")


def print_differential(count: Differential, title: str, reliability: Reliability | None = None) -> None:
    """Print a differential by lineage, with its indices and what stands behind it."""
    best = None if reliability is None else reliability.best
    shares = (None if reliability is None else reliability.by_code) or {}
    corrected = [] if best is None else [f"% by\n{best.method}", "95 %\ninterval"]
    # no upright lines and little between columns, so that all of them fit a terminal of 80 columns
    caption = Text(plain(f"Rule {count.rule}. {RESEARCH_USE}"))
    table = Table(title=Text(plain(title)), caption=caption, box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("class", no_wrap=True)
    sampling = f"{100 * count.options.confidence:g} % sampling\ninterval"
    for name in ("n", "%", sampling, *corrected, "mean\nentropy"):
        table.add_column(name, justify="right", no_wrap=True, min_width=6)
    rows = {row.cell_class.code: row for row in count.rows}
    for lineage in count.lineages:
        if len(lineage.codes) > 1:
            heading = f"[b]{lineage.lineage.value.capitalize()}[/b]"
            table.add_row(heading, *_figures(lineage, [""] * len(corrected)))
        for code in lineage.codes:
            beside = _shares(shares.get(code)) if corrected else ()
            table.add_row(_named(rows[code]), *_figures(rows[code], beside))
    table.add_section()
    for row in (row for row in count.rows if not row.counted):
        empty = [""] * len(corrected)
        table.add_row(_named(row), str(row.count), "", "not counted", *empty, _figures(row)[-1])
    table.add_section()
    table.add_row("counted", str(count.n_counted), "100.0" if count.n_counted else "")
    OUT.print(table)
    for index in count.indices.values():
        lacking = (
            f", without {', '.join(index.without).lower()}" if index.without and not index.lacking else ""
        )
        print_line(f"{index.words}{lacking}")
    if count.unknown:
        print_line(f"The model has no class for: {', '.join(c.name.lower() for c in count.unknown)}.")
    for line in count.plan:
        print_line(line)
    if reliability is not None:
        _print_reliability(reliability)


def print_references(count: Differential, references: Sequence[ReferenceSet]) -> None:
    """Print what sources call usual beside a count."""
    from napari_deepheme.stats.references import beside  # noqa: PLC0415

    for each in references:
        print_line(f"Beside {each.title}; sources disagree, no verdict ({each.source}):")
        for line in beside(count, each):
            usual = f"{line.usual[0]:g}–{line.usual[1]:g}"
            print_line(f"  {line.name} {line.figure} ({line.bounds}), usual {usual}")


def _print_reliability(reliability: Reliability) -> None:
    like_ours = reliability.like_ours
    p = "" if math.isnan(like_ours.p) else f" (p = {like_ours.p:.2g})"
    print_line(f"{like_ours.verdict.value.capitalize()}{p}: {like_ours.advice}")
    if reliability.audit is not None and reliability.audit.shares.refusal:
        print_line(f"Audit: {reliability.audit.shares.refusal}.")
    for line in (reliability.intervals, *reliability.review):
        print_line(line)


def _named(row: DifferentialRow) -> Text:
    return Text.assemble(("●", row.cell_class.colour), " ", plain(row.cell_class.name))


def _shares(shares: tuple[float, float, float] | None) -> tuple[str, str]:
    if shares is None:
        return "–", ""
    share, low, high = (f"{100 * each:.1f}" for each in shares)
    return share, f"{low}–{high}"


def _figures(row: DifferentialRow | LineageRow, corrected: Sequence[str] = ()) -> tuple[str, ...]:
    share, interval = "", ""
    if not math.isnan(row.fraction):
        share = f"{100 * row.fraction:.1f}"
        interval = f"{100 * row.low:.1f}–{100 * row.high:.1f}"
    return str(row.count), share, interval, *corrected, f"{row.mean_entropy:.2f}" if row.count else ""


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(_shown(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return "unknown" if value is None or value == "" else str(value)
