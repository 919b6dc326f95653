"""Readings of one slide, by a model or by people, compared: what the command ``agree`` tells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations

import numpy as np

from napari_deepheme.errors import TableError
from napari_deepheme.stats.agreement import UNLABELLED, cohen_kappa, fleiss_kappa
from napari_deepheme.stats.clustering import field_variation
from napari_deepheme.stats.comparison import (
    RUMKE_COUNTS,
    BlandAltman,
    Line,
    bland_altman,
    deming,
    difference_interval,
    passing_bablok,
    rumke_limits,
    within_tolerance,
)
from napari_deepheme.taxonomy import MUNICH_TO_DEEPHEME, Taxonomy, known_classes

Place = tuple[float, float]

_MOST_READINGS = 50
"""Each is compared with every other."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One count of a slide.

    Attributes
    ----------
    name : str
        File, and reader where a file holds several.
    counts : mapping of str to int
        Cells of each class, by code; counted or not.
    labels : mapping of (x, y) to str
        Class of each cell by its place in level-0 pixels; empty where only counts are known.
    fields : mapping of str to mapping of str to int
        Cells of each class by the field they lie in; empty where fields are not known.
    """

    name: str
    counts: Mapping[str, int]
    labels: Mapping[Place, str] = field(default_factory=dict)
    fields: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """One class in two readings, as shares of what is counted; the second less the first."""

    code: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    agrees: bool
    within_rumke: Mapping[int, bool]


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two readings: by class, as methods over the classes, and cell by cell where they share cells.

    ``agreeing`` is the share of classes within ±20 % or ±2 points; lines and limits are in percent points.
    """

    first: str
    second: str
    n: tuple[int, int]
    classes: tuple[ClassDifference, ...]
    agreeing: float
    within_rumke: Mapping[int, float]
    bland_altman: BlandAltman
    passing_bablok: Line
    deming: Line
    shared_cells: int
    kappa: float


@dataclass(frozen=True, slots=True)
class FieldSpread:
    """How the fields of one reading differ.

    ``between`` is the standard deviation of each class's share between fields that counting so few cells
    does not explain; the others are those of :class:`~napari_deepheme.stats.clustering.FieldVariation`.
    """

    name: str
    fields: int
    design_effect: float
    p: float
    between: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Agreement:
    """All readings, in pairs and together; and of each with two fields or more, how these differ."""

    codes: tuple[str, ...]
    pairs: tuple[PairAgreement, ...]
    fleiss_kappa: float
    fields: tuple[FieldSpread, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Document of plain values; what is not known is None."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def agreement(readings: Sequence[Reading]) -> Agreement:
    """Compare readings of one slide.

    Where one tells apart what another does not (erythroblasts by stage against erythroblasts), the finer
    classes are put together. Shares are of the cells that ICSH counts.

    Raises
    ------
    TableError
        Fewer than two readings, more than fifty, or one without a counted cell.
    """
    if len(readings) < 2:
        raise TableError("Agreement needs two readings or more; give another file.")
    if len(readings) > _MOST_READINGS:
        raise TableError(
            f"There are {len(readings)} readings, expected at most {_MOST_READINGS}: each is compared with "
            "every other; give fewer readers."
        )
    merged = [_merged(reading, _coarse(readings)) for reading in readings]
    codes = dict.fromkeys(code for each in merged for code in each.counts)
    taxonomy = known_classes(codes)
    counted = tuple(c.code for c in taxonomy.classes if c.counted)
    for each in merged:
        if not any(each.counts.get(code, 0) for code in counted):
            raise TableError(f"{each.name}: no cell of a counted class; expected a differential count.")
    pairs = tuple(_pair(a, b, counted) for a, b in combinations(merged, 2))
    spread = tuple(found for each in merged if (found := _spread(each, counted)) is not None)
    return Agreement(counted, pairs, _fleiss(merged, taxonomy), spread)


def _spread(reading: Reading, codes: tuple[str, ...]) -> FieldSpread | None:
    table = [[counts.get(code, 0) for code in codes] for counts in reading.fields.values()]
    found = field_variation(np.array(table, np.float64).reshape(-1, len(codes)))
    if found.fields < 2:
        return None
    between = {code: s for code, s in zip(codes, found.between.tolist(), strict=True) if s > 0}
    return FieldSpread(reading.name, found.fields, found.design_effect, found.p, between)


def _pair(first: Reading, second: Reading, codes: tuple[str, ...]) -> PairAgreement:
    a, b = (np.array([each.counts.get(code, 0) for code in codes]) for each in (first, second))
    n = int(a.sum()), int(b.sum())
    share_a, share_b = a / n[0], b / n[1]
    difference, low, high = difference_interval(a, n[0], b, n[1])
    agrees = within_tolerance(share_a, share_b)
    limits = {size: rumke_limits(share_a, size) for size in RUMKE_COUNTS}
    inside = {size: (down <= share_b) & (share_b <= up) for size, (down, up) in limits.items()}
    occurring = (a + b) > 0  # a class that neither saw is no agreement
    classes = tuple(
        ClassDifference(
            code,
            first=float(share_a[i]),
            second=float(share_b[i]),
            difference=float(difference[i]),
            low=float(low[i]),
            high=float(high[i]),
            agrees=bool(agrees[i]),
            within_rumke={size: bool(within[i]) for size, within in inside.items()},
        )
        for i, code in enumerate(codes)
        if occurring[i]
    )
    x, y = 100 * share_a[occurring], 100 * share_b[occurring]
    shared, kappa = _kappa(first, second)
    return PairAgreement(
        first.name,
        second.name,
        n,
        classes,
        agreeing=float(agrees[occurring].mean()),
        within_rumke={size: float(within[occurring].mean()) for size, within in inside.items()},
        bland_altman=bland_altman(x, y),
        passing_bablok=passing_bablok(x, y),
        deming=deming(x, y),
        shared_cells=shared,
        kappa=kappa,
    )


def _kappa(first: Reading, second: Reading) -> tuple[int, float]:
    """Cells both named, and Cohen's kappa on them."""
    shared = [place for place in first.labels if place in second.labels]
    index = {code: i for i, code in enumerate(sorted({*first.labels.values(), *second.labels.values()}))}
    a, b = (np.array([index[each.labels[p]] for p in shared], np.intp) for each in (first, second))
    return len(shared), cohen_kappa(a, b, len(index)) if shared else np.nan


def _fleiss(readings: Sequence[Reading], taxonomy: Taxonomy) -> float:
    places = list(dict.fromkeys(place for each in readings for place in each.labels))
    if not places:
        return np.nan
    index = {code: i for i, code in enumerate(taxonomy.codes)}
    labels = [
        [index[each.labels[p]] if p in each.labels else UNLABELLED for p in places] for each in readings
    ]
    return fleiss_kappa(np.array(labels, np.intp), len(index))


def _coarse(readings: Sequence[Reading]) -> dict[str, str]:
    """Coarser class to put each finer one into, where some reading knows only the coarser."""
    used = {code for each in readings for code in each.counts}
    return {
        finer: code
        for code, parts in MUNICH_TO_DEEPHEME.items()
        if code in used
        for finer in parts
        if finer != code
    }


def _merged(reading: Reading, coarse: Mapping[str, str]) -> Reading:
    labels = {place: coarse.get(code, code) for place, code in reading.labels.items()}
    fields = {name: _together(counts, coarse) for name, counts in reading.fields.items()}
    return Reading(reading.name, _together(reading.counts, coarse), labels, fields)


def _together(counts: Mapping[str, int], coarse: Mapping[str, str]) -> dict[str, int]:
    merged: dict[str, int] = {}
    for code, n in counts.items():
        merged[coarse.get(code, code)] = merged.get(coarse.get(code, code), 0) + n
    return merged


def _plain(value: object) -> object:
    """Without nan, which JSON does not know."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
