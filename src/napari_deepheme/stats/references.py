"""Reference ranges to read beside a count: editable, cited, and never a verdict, for sources disagree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self  # of typing from Python 3.11

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_deepheme.stats.differential import Differential, plain
from napari_deepheme.stats.intervals import share_intervals
from napari_deepheme.stats.own_file import read_own

_FOLDER = Path(__file__).parent / "reference_sets"


class Range(BaseModel):
    """What a source calls usual; of a share in percent, or of an index."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    low: float
    high: float
    codes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


class ReferenceSet(BaseModel):
    """Ranges of one source: shares of groups of classes in percent, indices by their key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    source: str = Field(min_length=1)
    percent: Mapping[str, Range] = {}
    indices: Mapping[str, Range] = {}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A value of a slide beside a range, all in the range's unit (percent, or the index itself)."""

    name: str
    value: float
    low: float
    high: float
    usual: tuple[float, float]

    @property
    def figure(self) -> str:
        """The value as text, with one decimal."""
        return one_decimal(self.value)

    @property
    def bounds(self) -> str:
        """The interval as text."""
        return f"{one_decimal(self.low)}–{one_decimal(self.high)}"

    def to_json(self) -> dict[str, object]:
        """Plain values; what is not finite is None."""
        figures = {"value": self.value, "low": self.low, "high": self.high}
        return {"name": self.name, "usual": list(self.usual)} | {k: plain(v) for k, v in figures.items()}


def one_decimal(value: float) -> str:
    """A number with one decimal, ∞ without a limit."""
    return "∞" if math.isinf(value) else f"{value:.1f}"


def embedded_references() -> tuple[str, ...]:
    """Names of the reference sets that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@cache
def reference_set(source: str) -> ReferenceSet:
    """The set of that name, or one's own from a TOML file with the fields of :class:`ReferenceSet`.

    Raises
    ------
    OptionError
        Neither a set's name nor a file, or a fault of the file.
    """
    return read_own(ReferenceSet, source, _FOLDER, embedded_references(), "reference set")


def beside(count: Differential, references: ReferenceSet) -> tuple[Comparison, ...]:
    """Every range that a count has a value for, beside it; not of groups the model has no class for."""
    counted = [(row, {row.cell_class.code, *row.cell_class.aliases}) for row in count.rows if row.counted]
    found = []
    for name, usual in references.percent.items():
        rows = [row for row, names in counted if names & set(usual.codes)]
        if rows and count.n_counted:
            n = sum(row.count for row in rows)
            low, high = share_intervals([n, count.n_counted - n], confidence=count.options.confidence)
            figures = (100 * n / count.n_counted, 100 * float(low[0]), 100 * float(high[0]))
            found.append(Comparison(name.replace("_", " "), *figures, (usual.low, usual.high)))
    for key, usual in references.indices.items():
        index = count.indices.get(key)
        if index is not None and not math.isnan(index.value):
            found.append(Comparison(index.title, index.value, index.low, index.high, (usual.low, usual.high)))
    return tuple(found)
