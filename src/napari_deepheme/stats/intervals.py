"""Intervals of shares and of ratios of counts, for the sampling error.

Counts are whole numbers or, where clustering has been taken out of them, effective ones. Everything here is
closed form or one call into scipy.special, so that a window may ask for it with every cell that arrives;
scipy.stats and statsmodels, which take a second to import, are not needed but for Sison and Glaz's.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, chdtri, ndtri

from napari_deepheme.errors import OptionError

Floats = NDArray[np.float64]
Bounds = tuple[Floats, Floats]


class Interval(StrEnum):
    """Interval of the share of each class; the last two hold for all classes at once."""

    WILSON = "wilson"
    CLOPPER_PEARSON = "clopper-pearson"
    GOODMAN = "goodman"
    SISON_GLAZ = "sison-glaz"


def interval_named(name: str) -> Interval:
    """The interval of that name.

    Raises
    ------
    OptionError
        There is none.
    """
    try:
        return Interval(name)
    except ValueError as err:
        raise OptionError(f"{name!r} is no interval of a share; there are {', '.join(Interval)}.") from err


class RatioInterval(StrEnum):
    """Interval of the ratio of two counts."""

    SCORE = "score"
    LOG = "log"
    FIELLER = "fieller"


def normal_quantile(confidence: float) -> float:
    """Two-sided quantile of the standard normal distribution: 1.96 for 0.95."""
    return float(ndtri(0.5 + confidence / 2))


def wilson(count: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Bounds:
    """Score interval of a share (Wilson 1927, J Am Stat Assoc 22:209); nan where n is 0.

    Brown, Cai & DasGupta 2001 (Stat Sci 16:101) for why not the normal approximation.
    """
    return _wilson(count, n, normal_quantile(confidence) ** 2)


def clopper_pearson(count: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Bounds:
    """Exact interval of a share (Clopper & Pearson 1934, Biometrika 26:404); nan where n is 0.

    In haematology known by the tables of Rümke 1960. Never covers less than it says, mostly more.
    """
    k, total = np.asarray(count, np.float64), np.asarray(n, np.float64)
    tail = (1 - confidence) / 2
    # the shape parameters below must stay above zero where a bound is set by hand
    low = np.where(k > 0, betaincinv(np.maximum(k, 1e-9), total - k + 1, tail), 0.0)
    high = np.where(k < total, betaincinv(k + 1, np.maximum(total - k, 1e-9), 1 - tail), 1.0)
    unknown = total <= 0
    return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def goodman(counts: ArrayLike, confidence: float = 0.95) -> Bounds:
    """Intervals of all shares of k classes at once (Goodman 1965, Technometrics 7:247, eq. 2.3)."""
    k = np.asarray(counts, np.float64)
    squared = float(chdtri(1, (1 - confidence) / max(len(k), 1)))
    return _wilson(k, np.full(len(k), k.sum()), squared)


def sison_glaz(counts: ArrayLike, confidence: float = 0.95) -> Bounds:
    """Intervals of all shares of k classes at once (Sison & Glaz 1995, J Am Stat Assoc 90:366).

    Narrower than Goodman's for many classes that all have cells; as wide for rare classes as for frequent
    ones. Counts are whole numbers.
    """
    from statsmodels.stats.proportion import multinomial_proportions_confint  # noqa: PLC0415  takes a second

    whole = np.asarray(counts).round().astype(int)
    if whole.sum() == 0:
        return np.full(len(whole), np.nan), np.full(len(whole), np.nan)
    bounds = multinomial_proportions_confint(whole, 1 - confidence, method="sison-glaz")
    return bounds[:, 0], bounds[:, 1]


def share_intervals(
    counts: ArrayLike, interval: Interval = Interval.WILSON, confidence: float = 0.95
) -> Bounds:
    """Low and high bounds of the shares of k classes that together are everything counted."""
    k = np.asarray(counts, np.float64)
    n = np.full(len(k), k.sum())
    match interval:
        case Interval.WILSON:
            return wilson(k, n, confidence)
        case Interval.CLOPPER_PEARSON:
            return clopper_pearson(k, n, confidence)
        case Interval.GOODMAN:
            return goodman(k, confidence)
        case Interval.SISON_GLAZ:
            return sison_glaz(k, confidence)


def ratio_interval(
    top: float, bottom: float, method: RatioInterval = RatioInterval.SCORE, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the ratio of two counts of different cells, such as M:E.

    Parameters
    ----------
    top, bottom : float
        Cells of the one kind and of the other.
    method : RatioInterval
        ``score``: Wilson's interval of the share top / (top + bottom), as odds; given the number of both, the
        first is binomial, and odds are monotone in the share, so nothing is lost. ``log``: normal on the
        logarithm, with variance 1/top + 1/bottom (Katz et al. 1978, Biometrics 34:469) and half a cell added
        to both where one is zero (Haldane 1956); it is open to that side then. ``fieller``: Fieller 1954
        (J R Stat Soc B 16:175).
    confidence : float

    Returns
    -------
    tuple of float
        High is infinite where the denominator may be nothing; (nan, nan) without any cell.
    """
    if top + bottom <= 0:
        return np.nan, np.nan
    match method:
        case RatioInterval.SCORE:
            low, high = (float(bound) for bound in wilson(top, top + bottom, confidence))
            return low / (1 - low), high / (1 - high) if high < 1 else np.inf
        case RatioInterval.LOG:
            return _log_ratio(top, bottom, normal_quantile(confidence))
        case RatioInterval.FIELLER:
            return _fieller(top, bottom, normal_quantile(confidence) ** 2)


def _wilson(count: ArrayLike, n: ArrayLike, squared: float) -> Bounds:
    k, total = np.asarray(count, np.float64), np.asarray(n, np.float64)
    known = np.where(total > 0, total, np.nan)
    centre = (k + squared / 2) / (known + squared)
    half = np.sqrt(squared) / (known + squared) * np.sqrt(k * (known - k) / known + squared / 4)
    # rounding leaves 1e-18 where the bound is exactly the edge
    low = np.where(k <= 0, np.where(total > 0, 0.0, np.nan), centre - half)
    high = np.where(k >= total, np.where(total > 0, 1.0, np.nan), centre + half)
    return low, high


def _log_ratio(top: float, bottom: float, z: float) -> tuple[float, float]:
    added = 0.5 if min(top, bottom) == 0 else 0.0
    m, e = top + added, bottom + added
    half = z * np.sqrt(1 / m + 1 / e)
    low = float(m / e * np.exp(-half)) if top else 0.0
    return low, float(m / e * np.exp(half)) if bottom else np.inf


def _fieller(top: float, bottom: float, squared: float) -> tuple[float, float]:
    """Ratios r for which top − r·bottom lies within z standard deviations, √(top + r²·bottom), of zero."""
    leading = bottom**2 - squared * bottom
    if leading <= 0:  # the denominator itself is not told from zero: nothing can be said
        return 0.0, np.inf
    middle, constant = top * bottom, max(top**2 - squared * top, 0.0)
    root = np.sqrt(max(middle**2 - leading * constant, 0.0))
    return float(max((middle - root) / leading, 0.0)), float((middle + root) / leading)
