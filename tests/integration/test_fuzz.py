"""Damaged slides of every dialect: no traceback, no hang, no memory filled, no damage without a word."""

import importlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz.py"

if sys.platform == "win32":
    pytest.skip("the limits of a process are those of Unix", allow_module_level=True)


def fuzz(seed: int, cases: int) -> tuple[Counter[str], list[str]]:
    """In a process of its own: forking this one, with its threads and windows, would be no fair case."""
    command = [sys.executable, SCRIPT, "--seed", str(seed), "--cases", str(cases), "--json"]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    return Counter(printed["outcomes"]), printed["wrong"]


def test_two_hundred_damaged_slides():
    outcomes, wrong = fuzz(seed=1, cases=200)
    assert not wrong
    assert sum(outcomes.values()) == 200
    assert sum(n for text, n in outcomes.items() if text.startswith("noticed")) > 30
    assert outcomes["refused"] > 30


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_thousand_damaged_slides(seed):
    _, wrong = fuzz(seed, cases=2000)
    assert not wrong


def test_the_fuzzer_finds_what_it_is_made_to_find(monkeypatch, tmp_path):
    """A reader that shows damage as if whole is caught."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    fuzzer = importlib.import_module("fuzz")
    monkeypatch.setattr("napari_deepheme.slide.tiff_plane.TiffPlane.damage", lambda *window: "")
    outcomes = []
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcomes.append(fuzzer.run_case(1_000_003 + number, folder))
    assert any(outcome.startswith("BAD") for outcome in outcomes)
