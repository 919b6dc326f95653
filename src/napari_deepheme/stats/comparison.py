"""Two counts of the same thing: class by class, and as methods that measure the same percentages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from napari_deepheme.stats.intervals import Bounds, Floats, clopper_pearson, normal_quantile, wilson

RUMKE_COUNTS = (100, 200, 500)
"""Cells of a manual count whose limits are the yardstick (Rümke 1960; CLSI H20-A2 table 1)."""
TOLERANCE = (0.20, 0.02)
"""An entry agrees within 20 % of the first count's share, or within 2 points."""


def difference_interval(
    first: ArrayLike, n_first: int, second: ArrayLike, n_second: int, confidence: float = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Second share less the first, of two independent counts, and its interval; arrays of one value a class.

    Newcombe 1998 (Stat Med 17:873), method 10: Wilson's limits put together by their distances.
    """
    a, b = np.asarray(first, np.float64) / n_first, np.asarray(second, np.float64) / n_second
    low_a, high_a = wilson(first, n_first, confidence)
    low_b, high_b = wilson(second, n_second, confidence)
    low = b - a - np.sqrt((b - low_b) ** 2 + (high_a - a) ** 2)
    high = b - a + np.sqrt((high_b - b) ** 2 + (a - low_a) ** 2)
    return b - a, low, high


def rumke_limits(fraction: ArrayLike, n: int, confidence: float = 0.95) -> Bounds:
    """Limits within which the share may truly lie that a manual count of n cells gave (Rümke 1960)."""
    share = np.asarray(fraction, np.float64)
    return clopper_pearson(share * n, np.full(share.shape, float(n)), confidence)


def within_tolerance(
    first: ArrayLike, second: ArrayLike, relative: float = TOLERANCE[0], points: float = TOLERANCE[1]
) -> NDArray[np.bool_]:
    """Which shares agree within a part of the first, or within an absolute difference, whichever is wider."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    # rounding must not decide of two points that are two points
    return np.asarray(np.abs(b - a) <= np.maximum(relative * a, points) + 1e-12)


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Mean difference and limits of agreement, each with its interval; in the unit of the values."""

    n: int
    bias: float
    bias_interval: tuple[float, float]
    low: float
    low_interval: tuple[float, float]
    high: float
    high_interval: tuple[float, float]


def bland_altman(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> BlandAltman:
    """Second less first of paired values (Bland & Altman 1999, Stat Methods Med Res 8:135, sec. 2)."""
    d = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    n = len(d)
    if n < 2:
        nothing = (np.nan, np.nan)
        return BlandAltman(n, np.nan, nothing, np.nan, nothing, np.nan, nothing)
    bias, sd, z = float(d.mean()), float(d.std(ddof=1)), normal_quantile(0.95)
    t = float(stdtrit(n - 1, 0.5 + confidence / 2))
    of_bias = t * sd / np.sqrt(n)
    of_limit = t * sd * np.sqrt(1 / n + z**2 / (2 * (n - 1)))
    low, high = bias - z * sd, bias + z * sd
    return BlandAltman(
        n,
        bias,
        (bias - of_bias, bias + of_bias),
        low,
        (low - of_limit, low + of_limit),
        high,
        (high - of_limit, high + of_limit),
    )


@dataclass(frozen=True, slots=True)
class Line:
    """second = intercept + slope · first, with intervals; nan where the values do not determine it."""

    slope: float
    slope_interval: tuple[float, float]
    intercept: float
    intercept_interval: tuple[float, float]


def passing_bablok(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Line:
    """Median of the slopes between all pairs, shifted (Passing & Bablok 1983, Clin Chem Lab Med 21:709).

    Robust to outlying entries, and the same whichever method is called first.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    i, j = np.triu_indices(len(x), 1)
    dx, dy = x[j] - x[i], y[j] - y[i]
    kept = (dx != 0) | (dy != 0)
    with np.errstate(divide="ignore"):
        slopes = np.sort((dy[kept] / dx[kept])[dy[kept] / dx[kept] != -1])
    n, below = len(slopes), int((slopes < -1).sum())
    if n < 3:
        return Line(np.nan, (np.nan, np.nan), np.nan, (np.nan, np.nan))
    middle = slopes[[(n - 1) // 2 + below, n // 2 + below]] if n // 2 + below < n else slopes[[-1, -1]]
    slope = float(middle.mean())
    points = len(x)
    spread = normal_quantile(confidence) * np.sqrt(points * (points - 1) * (2 * points + 5) / 18)
    rank = round((n - spread) / 2)
    edges = np.clip([rank - 1 + below, n - rank + below], 0, n - 1)
    low, high = (float(value) for value in slopes[edges])
    # a slope without limit leaves the points at x = 0 where they are
    risen = [np.multiply(each, x, where=x != 0, out=np.zeros_like(x)) for each in (slope, high, low)]
    intercept, lower, upper = (float(np.median(y - each)) for each in risen)
    return Line(slope, (low, high), intercept, (lower, upper))


def deming(first: ArrayLike, second: ArrayLike, ratio: float = 1.0, confidence: float = 0.95) -> Line:
    """Line with errors in both values, their variances in this ratio (second to first).

    Linnet 1993 (Clin Chem 39:424), with the jackknife for the intervals.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    n = len(x)
    slope, intercept = _deming(x, y, ratio)
    if n < 3 or not np.isfinite(slope):
        return Line(slope, (np.nan, np.nan), intercept, (np.nan, np.nan))
    left_out = np.array([_deming(np.delete(x, i), np.delete(y, i), ratio) for i in range(n)])
    pseudo = n * np.array([slope, intercept]) - (n - 1) * left_out
    half = float(stdtrit(n - 2, 0.5 + confidence / 2)) * pseudo.std(axis=0, ddof=1) / np.sqrt(n)
    return Line(
        slope,
        (slope - float(half[0]), slope + float(half[0])),
        intercept,
        (intercept - float(half[1]), intercept + float(half[1])),
    )


def _deming(x: Floats, y: Floats, ratio: float) -> tuple[float, float]:
    if len(x) < 2:
        return np.nan, np.nan
    xx, yy, xy = np.var(x), np.var(y), np.mean((x - x.mean()) * (y - y.mean()))
    if xy == 0:
        return np.nan, np.nan
    gap = yy - ratio * xx
    slope = (gap + np.sqrt(gap**2 + 4 * ratio * xy**2)) / (2 * xy)
    return float(slope), float(y.mean() - slope * x.mean())
