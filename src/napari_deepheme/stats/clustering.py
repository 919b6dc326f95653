"""How far cells of one field resemble each other, and intervals that know it.

Counts have shape (f, k): cells of k classes in f fields of a smear. Cells of one kind lie together, so that a
field says less than as many cells from all over; fields, not cells, are the sampling units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtr, stdtrit

from napari_deepheme.stats.intervals import (
    Bounds,
    Floats,
    Interval,
    clopper_pearson,
    normal_quantile,
    sison_glaz,
    wilson,
)


def counts_by_field(fields: NDArray[np.integer], classes: NDArray[np.integer], k: int) -> Floats:
    """Cells of k classes in each field that has any, shape (f, k), of n cells' fields and class indices.

    A class below 0 is a cell that is not counted.
    """
    counted = classes >= 0
    names, place = np.unique(fields[counted], return_inverse=True)
    flat = np.bincount(place * k + classes[counted], minlength=len(names) * k)
    return flat.reshape(len(names), k).astype(np.float64)


def design_effects(counts: Floats) -> Floats:
    """Variance of each class's share over that of as many cells drawn one by one, shape (k,).

    Of the share as a ratio of sums over fields, linearised (Kish 1965, Survey Sampling, sec. 6.3; 8.2 for the
    design effect). nan with fewer than two fields, and for a class of no or of all cells.
    """
    fields, n = len(counts), counts.sum()
    if fields < 2 or n == 0:
        return np.full(counts.shape[1], np.nan)
    share = counts.sum(axis=0) / n
    residual = counts - counts.sum(axis=1, keepdims=True) * share
    clustered = fields / (fields - 1) * (residual**2).sum(axis=0) / n**2
    independent = share * (1 - share) / n
    effects: Floats = np.divide(
        clustered, independent, out=np.full(len(share), np.nan), where=independent > 0
    )
    return effects


def overall_design_effect(counts: Floats) -> float:
    """Mean design effect of the classes, each by its variance (Rao & Scott 1981, J Am Stat Assoc 76:221)."""
    effects = design_effects(counts)
    if np.isnan(effects).all():
        return np.nan
    share = counts.sum(axis=0) / counts.sum()
    return float(np.nansum(effects * share * (1 - share)) / np.sum((share * (1 - share))[~np.isnan(effects)]))


def clustered_intervals(
    counts: Floats, interval: Interval = Interval.WILSON, confidence: float = 0.95
) -> Bounds:
    """Intervals of shares on the number of cells that would have said as much if drawn one by one.

    n / design effect, less for the few fields it is estimated from (Korn & Graubard 1998, Surv Methodol
    24:193, eq. 2.4). No design effect below 1 is believed. Goodman's are Wilson's at 1 - α / k, the caution
    for few fields with them; Sison and Glaz's know one number of cells for all classes: the smallest.
    """
    each = 1 - (1 - confidence) / counts.shape[1] if interval is Interval.GOODMAN else confidence
    share, effective = _effective(counts, each)
    match interval:
        case Interval.CLOPPER_PEARSON:
            return clopper_pearson(share * effective, effective, confidence)
        case Interval.SISON_GLAZ:
            return sison_glaz(share * effective.min(), confidence)
        case _:
            return wilson(share * effective, effective, each)


def _effective(counts: Floats, confidence: float) -> Bounds:
    """Shares (k,) of counts by field, and how many cells drawn one by one would say as much of each."""
    total, fields = counts.sum(), len(counts)
    effects = design_effects(counts)
    known = np.where(np.isnan(effects), overall_design_effect(counts), effects)
    effects = np.maximum(np.nan_to_num(known, nan=1.0), 1.0)
    caution = 1.0
    if fields > 1:
        caution = (normal_quantile(confidence) / float(stdtrit(fields - 1, 0.5 + confidence / 2))) ** 2
    share = counts.sum(axis=0) / total if total else np.zeros(counts.shape[1])
    return share, total / effects * caution


def over_fields(
    statistic: Callable[[Floats], Floats],
    counts: Floats,
    confidence: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> Bounds:
    """Bootstrap interval of a statistic of the summed counts, whole fields drawn with replacement.

    Parameters
    ----------
    statistic : callable
        From counts of shape (..., k) to values of shape (..., s).
    counts : ndarray, shape (f, k)
        At least two fields.
    confidence : float
    replicates, seed : int

    Returns
    -------
    tuple of ndarray, shape (s,)
        Percentiles, spread as few fields need it (Hesterberg 2015, Am Stat 69:371, sec. 3.3: expanded
        percentile); nan with fewer than two fields.
    """
    fields = len(counts)
    if fields < 2:
        empty = np.full(statistic(counts.sum(axis=0)).shape, np.nan)
        return empty, empty
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(fields, np.full(fields, 1 / fields), replicates).astype(np.float64)
    values = statistic(drawn @ counts)
    wide = np.sqrt(fields / (fields - 1)) * float(stdtrit(fields - 1, 0.5 + confidence / 2))
    tail = 100 * float(ndtr(-wide))
    # without interpolation: a ratio with nothing below it is infinite, and so may the bound be
    low, high = np.nanpercentile(values, [tail, 100 - tail], axis=0, method="nearest")
    return low, high


@dataclass(frozen=True, slots=True)
class FieldVariation:
    """How the fields of one slide differ.

    Attributes
    ----------
    fields : int
        With cells.
    design_effect : float
        Of all classes together; 1 where fields differ no more than chance makes them.
    p : float
        That fields with the same mix of classes would differ so much (Pearson's chi-squared test).
    between : ndarray of float64, shape (k,)
        Standard deviation of each class's share between fields beyond what counting so few cells explains.
    """

    fields: int
    design_effect: float
    p: float
    between: Floats


def field_variation(counts: ArrayLike) -> FieldVariation:
    """Variation between fields, of counts of shape (f, k)."""
    table = np.asarray(counts, np.float64)
    table = table[table.sum(axis=1) > 0]
    sizes, n, f = table.sum(axis=1), table.sum(), len(table)
    if f < 2:
        return FieldVariation(f, np.nan, np.nan, np.full(table.shape[1], np.nan))
    share = table.sum(axis=0) / n
    expected = sizes[:, None] * share
    occurring = share > 0
    chi2 = float(((table - expected)[:, occurring] ** 2 / expected[:, occurring]).sum())
    p = float(chdtrc((f - 1) * max(int(occurring.sum()) - 1, 1), chi2))
    # method of moments: observed spread of weighted squares, less its expectation without any (Kleinman 1973)
    spread = ((table / sizes[:, None] - share) ** 2 * sizes[:, None]).sum(axis=0)
    excess = spread - (f - 1) * share * (1 - share)
    between = np.sqrt(np.maximum(excess, 0) / (n - (sizes**2).sum() / n))
    return FieldVariation(f, overall_design_effect(table), p, between)
