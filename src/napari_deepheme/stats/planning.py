"""How many cells are enough: for an interval of a given width, for a stop rule, for ICSH's marks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_deepheme.errors import OptionError
from napari_deepheme.stats.intervals import normal_quantile

MARKS = (300, 500)
"""Cells to count at least, and where a percentage must be precise (ICSH 2008: Lee et al., Int J Lab Hematol
30:349)."""


def half_width(fraction: float, n: float, confidence: float = 0.95) -> float:
    """Half the width of Wilson's interval around a share of n cells; 0.5 for none."""
    squared = normal_quantile(confidence) ** 2
    if n <= 0:
        return 0.5
    return math.sqrt(squared * (n * fraction * (1 - fraction) + squared / 4)) / (n + squared)


def cells_for(fraction: float, width: float, confidence: float = 0.95) -> int:
    """Fewest cells whose Wilson interval around a share is at most ± ``width``.

    The half-width equation solved for n, a quadratic, and rounded up.

    Raises
    ------
    OptionError
        The width is not between 0 and 0.5.
    """
    if not 0 < width < 0.5:
        raise OptionError(
            f"A precision of ± {width:g} cannot be planned for; give a share between 0 and 0.5."
        )
    return max(math.ceil(_cells_at(fraction, width, confidence) - 1e-9), 1)


def effect_of(fraction: float, width: float, n: float, confidence: float = 0.95) -> float:
    """Cells counted for each that would do, drawn one by one, for an interval of ± ``width``; at least 1.

    Beside the design effect it knows how few fields that was estimated from, and an interval that is wider
    for holding all classes at once.
    """
    if n <= 0 or math.isnan(width):
        return 1.0
    return max(n / _cells_at(fraction, min(width, 0.499), confidence), 1.0)


def _cells_at(fraction: float, width: float, confidence: float) -> float:
    squared, variance = normal_quantile(confidence) ** 2, fraction * (1 - fraction)
    # width² (n + z²)² = z² (n p(1 − p) + z²/4)
    b = 2 * squared - squared * variance / width**2
    c = squared**2 - squared**2 / (4 * width**2)
    return (-b + math.sqrt(b**2 - 4 * c)) / 2


def more_cells(
    count: float, n: float, width: float, confidence: float = 0.95, design_effect: float = 1.0
) -> int:
    """Cells still to count until a class's share is known to ± ``width``, if it stays what it is; 0 if it is.

    Where cells of a kind lie together so many more are needed as the design effect says.
    """
    fraction = count / n if n > 0 else 0.5
    effect = 1.0 if not np.isfinite(design_effect) else max(design_effect, 1.0)
    return max(math.ceil(cells_for(fraction, width, confidence) * effect - n), 0)


PRECISION = 0.02
"""Half-width, as a share, that a plan names the cells for: the ± 2 points of the field's tolerance."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The highest of :data:`MARKS` reached, 0 before the first, and cells to the next, 0 after the last."""

    reached: int
    to_next: int


def mark(n_counted: int) -> Mark:
    """Where a count stands among ICSH's marks."""
    reached = max((each for each in MARKS if each <= n_counted), default=0)
    following = min((each for each in MARKS if each > n_counted), default=n_counted)
    return Mark(reached, following - n_counted)


@dataclass(frozen=True, slots=True)
class StopRule:
    """Count until a class is as precise as asked.

    Attributes
    ----------
    code : str
        The class.
    half_width : float
        Share, such as 0.02 for ± 2 points.
    confidence : float
    least, most : int
        Cells counted in any case, so that an early run of luck does not end the count, and at the most; 0: no
        such limit.
    """

    code: str
    half_width: float
    confidence: float = 0.95
    least: int = MARKS[0]
    most: int = 0

    def __post_init__(self) -> None:
        cells_for(0.5, self.half_width, self.confidence)
        if self.least < 0 or self.most < 0:
            raise OptionError(f"Stop rule: {min(self.least, self.most)} cells; give 0 or more.")


def stop_rule(text: str, least: int = 0) -> StopRule:
    """The rule that ``CLASS:POINTS`` names, such as ``M1:2`` for blasts to ± 2 points.

    Raises
    ------
    OptionError
        The text is of another form, or the points are no precision.
    """
    code, _, points = text.partition(":")
    try:
        return StopRule(code.strip(), float(points) / 100, least=least)
    except ValueError as err:
        raise OptionError(f"{text!r} is no precision; give CLASS:POINTS, such as M1:2, ± 2 points.") from err


@dataclass(frozen=True, slots=True)
class StopDecision:
    """Whether a count may end, at what half-width, and how many more cells it will take if not."""

    enough: bool
    half_width: float
    more: int


def decide(counts: Mapping[str, int], rule: StopRule, design_effect: float = 1.0) -> StopDecision:
    """What a stop rule says of the counts so far of all counted classes, by code.

    Looking after every cell and ending on a lucky look costs little coverage with Wilson's interval and
    ``least`` cells; docs/numbers.md holds what was measured.
    """
    n, count = sum(counts.values()), counts.get(rule.code, 0)
    effect = max(design_effect, 1.0) if np.isfinite(design_effect) else 1.0
    width = half_width(count / n if n else 0.5, n / effect, rule.confidence)
    if rule.most and n >= rule.most:
        return StopDecision(enough=True, half_width=width, more=0)
    more = max(more_cells(count, n, rule.half_width, rule.confidence, effect), rule.least - n, 0)
    if rule.most:
        more = min(more, rule.most - n)
    return StopDecision(enough=more == 0, half_width=width, more=more)
