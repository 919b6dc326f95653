"""The docs name the options that there are, all of them and no others."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

from napari_deepheme import AnalysisOptions, AssessmentOptions, RunOptions
from napari_deepheme.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> dict[str, set[str]]:
    """Options of every command; those of ``models list`` under that name."""
    found, waiting = {}, [((), get_command(app))]
    while waiting:
        path, command = waiting.pop()
        names = {name for one in command.params for name in one.opts + one.secondary_opts}
        found[" ".join(path)] = {name for name in names if name.startswith("--")} | {"--help"}
        waiting += [((*path, name), each) for name, each in getattr(command, "commands", {}).items()]
    return found


def options_table() -> list[list[str]]:
    lines = (ROOT / "docs" / "using.md").read_text(encoding="utf-8").split("## Options\n")[1].splitlines()
    rows = [line.strip("|").split("|") for line in lines[2 : lines.index("")]]
    return [[cell.strip() for cell in row] for row in rows]


def test_the_table_of_options_has_every_one_of_an_analysis():
    named = {name for row in options_table() for name in re.findall(r"`(\w+)`", row[2])}
    options = (AnalysisOptions, AssessmentOptions, RunOptions)
    known = {field.name for each in options for field in fields(each)} - {"assessment"}
    assert named - {"sink"} == known


def test_the_table_of_options_has_every_one_of_classify_that_changes_the_result():
    named = {name for row in options_table() for name in re.findall(r"--[a-z-]+", row[1])}
    about_files = {"--out", "--formats", "--json", "--help", "--model", "--match-stain", "--match-prior"}
    about_files |= {"--store", "--resume"}
    about_files |= {"--scheduler", "--memory-limit"}  # how it runs: docs/scale.md
    assert named == commands()["classify"] - about_files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_shown_is_one_that_can_be_given(page):
    known = commands()
    for line in re.findall(r"napari-deepheme ([^`\n#]+)", page.read_text(encoding="utf-8")):
        words = line.split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        asked = {word for word in words if word.startswith("--")}
        if asked:
            assert asked <= known[name], line
