"""How the slides of a batch look while they are classified: a live table, lines, or lines of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Protocol, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from napari_deepheme.batch.rows import ENDED, BatchProgress, SlideRow, Status
from napari_deepheme.cli.printing import ERR, OUT, plain

_MOST_SHOWN = 12
"""Rows of the live table: those that run, then the last that ended."""
_MOST_LISTED = 50
"""Rows of the table at the end: those that failed come first."""
_LINE_EVERY = 60.0
_EVENT_EVERY = 2.0
_COLOURS = {Status.DONE: "green", Status.KEPT: "green", Status.FAILED: "red", Status.BUSY: "yellow"}


class Board(Protocol):
    """Where the rows of a batch are shown."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def take(self, progress: BatchProgress) -> None:
        """Show a row that changed."""

    def aside(self) -> AbstractContextManager[None]:
        """A context in which other things may be printed."""

    def conclude(self, rows: Sequence[SlideRow]) -> None:
        """Show all of them, once it is over."""


def board_for(total: int, *, as_json: bool, link: str = "") -> Board:
    """The board for a program, a terminal, or a file.

    Parameters
    ----------
    total : int
        Slides.
    as_json : bool
    link : str
        Of the cluster's dashboard.
    """
    if as_json:
        return JsonLines(link)
    return LiveTable(total, link) if ERR.is_terminal else Lines(link)


class JsonLines:
    """A line of JSON on stderr for each change of status, and every two seconds for each slide that runs."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._told: dict[str, tuple[Status, int, float]] = {}

    def __enter__(self) -> Self:
        if self._link:
            self._write({"event": "dashboard", "link": self._link})
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def take(self, progress: BatchProgress) -> None:
        """Write the row, unless it was written a moment ago."""
        row, now = progress.row, time.monotonic()
        status, tries, last = self._told.get(row.slide, (None, 0, 0.0))
        if (status, tries) == (row.status, row.tries) and now - last < _EVENT_EVERY:
            return
        self._told[row.slide] = row.status, row.tries, now
        if row.status in ENDED:
            del self._told[row.slide]
        facts = {
            "event": "slide",
            "slide": row.slide,
            "status": str(row.status),
            "message": row.message,
            "counted": row.cells,
            "seconds": row.seconds,
            "tries": row.tries,
            "worker": row.worker,
            "done": progress.done,
            "total": progress.total,
        }
        self._write(facts)

    def aside(self) -> AbstractContextManager[None]:
        """Nothing stands in the way."""
        return nullcontext()

    def conclude(self, rows: Sequence[SlideRow]) -> None:
        """The document on stdout says it all."""

    @staticmethod
    def _write(facts: dict[str, object]) -> None:
        sys.stderr.write(json.dumps(facts) + "\n")
        sys.stderr.flush()


class Lines:
    """A line on stderr for each slide that ends, and one a minute."""

    def __init__(self, link: str) -> None:
        self._link, self._last = link, time.monotonic()

    def __enter__(self) -> Self:
        if self._link:
            _print(f"Dashboard: {self._link}")
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def take(self, progress: BatchProgress) -> None:
        """Print a row that ended, or the first in a minute."""
        row = progress.row
        over = row.status in ENDED
        if over or time.monotonic() - self._last >= _LINE_EVERY:
            self._last = time.monotonic()
            _print(
                f"{progress.done} of {progress.total}: {_line(row)}",
                "red" if row.report is None and over else "",
            )

    def aside(self) -> AbstractContextManager[None]:
        """Nothing stands in the way."""
        return nullcontext()

    def conclude(self, rows: Sequence[SlideRow]) -> None:
        """Print all rows as a table."""
        _print_all(rows)


class LiveTable:
    """Slides that run and have just ended, counts of all, and how long it will take."""

    def __init__(self, total: int, link: str) -> None:
        self._link, self._rows = link, dict[str, SlideRow]()
        self._counts = dict.fromkeys(Status, 0) | {Status.WAITING: total}
        self._bar = Bar(
            TextColumn("slides"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("", total=total)
        self._live = Live(
            get_renderable=self._drawn,
            console=ERR,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def take(self, progress: BatchProgress) -> None:
        """Show a row as it is now."""
        row = progress.row
        before = self._rows.pop(row.slide, SlideRow(row.slide)).status
        self._counts[before] -= 1
        self._counts[row.status] += 1
        self._rows[row.slide] = row
        self._bar.update(self._task, completed=progress.done)
        over = [name for name, each in self._rows.items() if each.status in ENDED]
        for name in over[:-_MOST_SHOWN]:
            del self._rows[name]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the table away for a moment."""
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def conclude(self, rows: Sequence[SlideRow]) -> None:
        """Print all rows as a table."""
        _print_all(rows)

    def _drawn(self) -> RenderableType:
        rows = list(self._rows.values())
        running = [row for row in rows if row.status not in ENDED][-_MOST_SHOWN:]
        over = [row for row in rows if row.status in ENDED]
        shown = [*running, *over[len(over) - max(0, _MOST_SHOWN - len(running)) :]]
        counts = ", ".join(f"{n} {status}" for status, n in self._counts.items() if n)
        parts: list[RenderableType] = [_table(shown), Text(counts), self._bar]
        if self._link:
            parts.append(Text(f"Dashboard: {self._link}"))
        return Group(*parts)


def _table(rows: Sequence[SlideRow]) -> Table:
    table = Table()
    table.add_column("slide", overflow="fold")
    table.add_column("status")
    for name in ("counted", "seconds", "tries"):
        table.add_column(name, justify="right")
    table.add_column("", overflow="fold")
    for row in rows:
        table.add_row(
            Text(plain(_short(row.slide))),
            Text(str(row.status), _COLOURS.get(row.status, "")),
            str(row.cells or "") if row.status in (Status.RUNNING, Status.FAILED) else str(row.cells),
            f"{row.seconds:.1f}",
            str(row.tries),
            Text(plain(row.message)),
        )
    return table


def _print_all(rows: Sequence[SlideRow]) -> None:
    """Print the table at the end: failures first, then in the order of the slides."""
    ordered = sorted(rows, key=lambda row: row.status is not Status.FAILED)
    OUT.print(_table(ordered[:_MOST_LISTED]))
    if len(ordered) > _MOST_LISTED:
        _print(f"and {len(ordered) - _MOST_LISTED} more that are done; --json lists all")


def _line(row: SlideRow) -> str:
    figures = f", {row.cells} cells counted, {row.seconds:.1f} s" if row.report is not None else ""
    again = f", try {row.tries}" if row.tries > 1 else ""
    text = row.message if row.message.startswith(row.slide) else f"{row.slide}: {row.message or row.status}"
    return f"{text}{figures}{again}"


def _short(slide: str) -> str:
    """The name of a slide, without its folders."""
    return slide.replace("\\", "/").rstrip("/").rpartition("/")[2].partition("?")[0] or slide


def _print(text: str, style: str = "") -> None:
    ERR.print(plain(text), soft_wrap=True, highlight=False, markup=False, style=style)
