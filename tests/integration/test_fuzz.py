"""Damaged slides of every dialect: no traceback, no hang, no memory filled, no damage without a word."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz.py"

if sys.platform == "win32":
    pytest.skip("the limits of a process are those of Unix", allow_module_level=True)


@pytest.fixture(scope="module")
def fuzzer():
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_hundred_damaged_slides(fuzzer):
    outcomes, wrong = fuzzer.fuzz(seed=1, cases=200)
    assert not wrong
    assert sum(outcomes.values()) == 200
    assert outcomes["noticed"] > 30
    assert outcomes["refused"] > 30


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_thousand_damaged_slides(fuzzer, seed):
    _, wrong = fuzzer.fuzz(seed, cases=2000)
    assert not wrong


def test_the_fuzzer_finds_what_it_is_made_to_find(fuzzer, monkeypatch, tmp_path):
    """A reader that shows damage as if whole is caught."""
    monkeypatch.setattr("napari_deepheme.slide.tiff_plane.TiffPlane.damage", lambda *window: "")
    outcomes = [fuzzer.run_case(1_000_003 + number, tmp_path) for number in range(60)]
    assert any(outcome.startswith("BAD") for outcome in outcomes)
