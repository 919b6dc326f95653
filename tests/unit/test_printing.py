"""Text of files is printed as text, on whatever terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from napari_deepheme import cli
from napari_deepheme.cli import agreement, printing
from napari_deepheme.stats.differential import CountOptions, Differential
from napari_deepheme.stats.rules import counting_rule
from napari_deepheme.taxonomy import PBC_11

FRIENDLY = "a[red]b.tif [/bold] \x1b[2J\x07 µ"


@pytest.fixture
def printed(monkeypatch):
    out = io.StringIO()
    for name in ("OUT", "ERR"):
        monkeypatch.setattr(printing, name, Console(file=out, width=200, color_system=None))
    return out


def test_markup_and_control_codes_of_a_file_are_text(printed):
    printing.print_line(FRIENDLY)
    printing.print_facts({"name": FRIENDLY, "warnings": [FRIENDLY]})
    printing.print_scores([(FRIENDLY, "1", "2")])
    printing.print_warning(FRIENDLY)
    text = printed.getvalue()
    assert text.count("a[red]b.tif [/bold] \ufffd[2J\ufffd µ") == 5
    assert "\x1b" not in text


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_terminal_that_lacks_a_character_does_not_end_the_run(monkeypatch, encoding):
    """A redirect on Windows holds cp1252, LANG=C is ASCII; the table of a differential has ● and –."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(printing, "OUT", Console(width=80))
    printing.use_plain_streams()
    printing.print_facts({"a": "● – µ é"})
    printing.print_line("● done")
    stream.flush()
    assert b"? done" in stream.buffer.getvalue()


def test_the_name_of_a_reader_is_text(tmp_path, printed, monkeypatch):
    """The title of a table is markup, unless it is told not to be: "[/bold]" ended in a traceback."""
    monkeypatch.setattr(agreement, "OUT", printing.OUT)
    (tmp_path / "t.csv").write_text("class,[/bold],[red]\nM1,3,4\nM6,7,9\n")
    agreement.agree([tmp_path / "t.csv"])
    assert "t: [red] less t: [/bold]" in printed.getvalue()


def test_the_title_of_a_rule_is_text(printed):
    rule = counting_rule().model_copy(update={"title": FRIENDLY})
    count = Differential.of(["M6"], np.zeros(1), PBC_11, options=CountOptions(rule=rule))
    printing.print_differential(count, "a")
    assert "a[red]b.tif [/bold]" in printed.getvalue()


def test_a_file_that_the_system_refuses_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(cli, "app", Path("x" * 300).read_text)
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert capsys.readouterr().err.count("\n") == 1
