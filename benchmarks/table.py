"""The table of speeds in the documentation, a row a measurement; each benchmark writes its own rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch

from napari_deepheme.models.device import has_bf16

PAGE = Path(__file__).resolve().parents[1] / "docs" / "speed.md"
_ROW = re.compile(r"^\| (?P<what>[^|]+) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)


def write_rows(figures: Mapping[str, str]) -> None:
    """Put figures into the table under what was measured; the other rows stay."""
    page = PAGE.read_text(encoding="utf-8")
    for what, figure in figures.items():
        row = f"| {what} | {figure} | {machine()} |"
        known = next((match for match in _ROW.finditer(page) if match["what"] == what), None)
        page = page.replace(known[0], row) if known else f"{page.rstrip()}\n{row}\n"
    PAGE.write_text(page, encoding="utf-8")


def machine() -> str:
    """Day and cores."""
    bf16 = "bfloat16" if has_bf16(torch.device("cpu")) else "float32"
    return f"{datetime.now(UTC):%Y-%m-%d}, {torch.get_num_threads()} cores, {bf16}"
