"""A rendered blood smear with its truth (see README.md beside this file)."""

from pathlib import Path

SAMPLE_SLIDE = Path(__file__).parent / "smear.svs"
SAMPLE_TRUTH = Path(__file__).parent / "smear.truth.csv"
