"""A judged field of a smear; which to count first, and what all of them show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.cells import Region

# how far apart fields lie before they count as different places, as a share of the way across all of them
_APART = 0.25


class FieldKind(StrEnum):
    """What a field shows."""

    GOOD = "good"
    GLASS = "glass"
    RED_CELLS = "red cells only"
    THICK = "too thick"
    PARTICLE = "particle or clot"
    BLURRED = "out of focus"
    PALE = "stain too weak"
    FOREIGN = "not a stained smear"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A part of a smear, judged.

    Attributes
    ----------
    region : Region
        A rectangle within the slide; those of one slide share edges and never overlap.
    kind : FieldKind
    score : float
        0 to 1, how well it can be counted; 0 if it cannot, or if nobody looked at it closely.
    reason : str
        A short phrase for a person.
    cells : float
        Nucleated cells expected in it.
    """

    region: Region
    kind: FieldKind
    score: float
    reason: str
    cells: float


def ranked(fields: Sequence[Field]) -> list[Field]:
    """The fields that can be counted, best first but each far from those before it.

    ICSH asks for at least two areas of a smear (Lee et al. 2008, Int J Lab Hematol 30:349): a field beside
    one that is taken has to be much better than one elsewhere.
    """
    good = [field for field in fields if field.kind is FieldKind.GOOD and field.score > 0]
    centres = np.array([_centre(field.region) for field in good]).reshape(-1, 2)
    order = spread(centres, np.array([field.score for field in good]), len(good))
    return [good[i] for i in order]


def spread(places: NDArray[np.float64], worth: NDArray[np.float64], n: int) -> list[int]:
    """Choose ``n`` of the ``places`` (m, 2), the worthiest first, each weighed by its way to those before it.

    Returns
    -------
    list of int
        Indices of the places, fewer if there are fewer.
    """
    if len(places) == 0:
        return []
    apart = _APART * float(np.hypot(*np.ptp(places, axis=0))) or 1.0
    nearest = np.full(len(places), np.inf)
    left = worth.astype(np.float64)
    order: list[int] = []
    for _ in range(min(n, len(places))):
        order.append(int(np.argmax(left * (1 - apart / (nearest + apart)))))
        gap = np.hypot(*(places - places[order[-1]]).T)
        nearest = np.minimum(nearest, gap)
        left[order[-1]] = -1.0
    return order


def seen(fields: Sequence[Field]) -> str:
    """One sentence on what the fields of a slide show."""
    counts = Counter(field.kind for field in fields if field.score == 0)
    unseen, good = counts.pop(FieldKind.GOOD, 0), sum(field.score > 0 for field in fields)
    parts = [f"{n} {_are(n)} {kind}" for kind, n in counts.most_common()]
    if unseen:
        parts.append(f"{unseen} {_are(unseen)} likely good but not looked at closely")
    total = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
    if good == 0:
        return f"Of {total} {_listed(parts) or 'none is left'}: nothing there can be counted."
    rest = f"; {_listed(parts)}" if parts else ""
    return f"Of {total} {good} can be counted{rest}."


def _centre(region: Region) -> tuple[float, float]:
    top, left, bottom, right = region.bounds
    return (top + bottom) / 2, (left + right) / 2


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
