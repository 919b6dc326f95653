"""Correction on this slide: a person names a random few of its cells, and the shares follow.

Double sampling (Tenenbein 1970, J Am Stat Assoc 65:1350): all N cells have the model's call, n of them, drawn
at random within each call, also the truth. Nothing is assumed of the model or of the laboratory; a good model
makes the interval narrow, a bad one wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.errors import OptionError
from napari_deepheme.stats.intervals import normal_quantile, wilson
from napari_deepheme.stats.quantify import AUDIT, Quantification

LEAST_A_CLASS = 2
"""Cells drawn of every class that is called at all, if it has them."""


def plan_audit(calls: NDArray[np.integer], cells: int, seed: int = 0) -> NDArray[np.intp]:
    """Indices of cells to show to a person, drawn at random within each called class.

    Parameters
    ----------
    calls : ndarray of int, shape (n,)
        Class index the model calls each cell that no person has named yet.
    cells : int
        How many; shared out as the calls are (proportional allocation), at least :data:`LEAST_A_CLASS` a
        class, so that it may become a few more.
    seed : int

    Raises
    ------
    OptionError
        Fewer than one cell is asked for.
    """
    if cells < 1:
        raise OptionError(f"An audit of {cells} cells says nothing; ask for 50.")
    rng = np.random.default_rng(seed)
    chosen = []
    for name in np.unique(calls):
        members = np.flatnonzero(calls == name)
        wanted = max(round(cells * len(members) / len(calls)), LEAST_A_CLASS)
        chosen.append(rng.permutation(members)[:wanted])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """What the model called and a person found.

    Attributes
    ----------
    called : ndarray of int, shape (c,)
        Cells the model called each class, those it counts, without the cells in ``named``.
    found : ndarray of int, shape (c, k)
        Of the audited cells among them: called each class (rows), truly each class (columns).
    named : ndarray of int, shape (k,)
        Cells a person named for another reason than chance, such as all that were doubtful; they count as
        what they were named.
    """

    called: NDArray[np.integer]
    found: NDArray[np.integer]
    named: NDArray[np.integer]

    @classmethod
    def of(
        cls,
        calls: NDArray[np.integer],
        truth: NDArray[np.integer],
        audited: NDArray[np.intp],
        k: int,
        named: NDArray[np.integer] | None = None,
    ) -> Audit:
        """Audit from calls and truth (n,), of which only ``audited`` cells are looked at, and named ones."""
        found = np.zeros((int(max(calls.max(initial=0) + 1, k)), k), int)
        np.add.at(found, (calls[audited], truth[audited]), 1)
        extra = np.zeros(k, int) if named is None else named
        return cls(np.bincount(calls, minlength=len(found)), found, extra)


def corrected_by(
    audit: Audit, confidence: float = 0.95, counted: NDArray[np.bool_] | None = None
) -> Quantification:
    """Shares of the k classes among all cells, or among those truly of a ``counted`` class (k,).

    The estimate is stratified by the call; Wilson's intervals within the calls are put together by their
    distances from the estimate (MOVER: Zou, Huang & Zhang 2009, Comput Stat Data Anal 53:1080), and the
    variance between the calls that N cells leave is added (Cochran 1977, Sampling Techniques, eq. 12.32).
    Refused when a call with cells was not audited at all.
    """
    called, found = audit.called.astype(np.float64), audit.found.astype(np.float64)
    k, looked = found.shape[1], found.sum(axis=1)
    missing = np.flatnonzero((called > 0) & (looked == 0))
    total = called.sum() + audit.named.sum()
    if len(missing) or total == 0:
        why = (
            f"none of the {int(called[missing[0]])} cells of a called class is in the audit" if total else ""
        )
        return Quantification.refused(AUDIT, k, why or "there is no cell")
    strata = called > 0
    weights, looked, found = called[strata] / total, looked[strata], found[strata]
    within = found / looked[:, None]
    shares = weights @ within + audit.named / total
    low, high = wilson(found, np.broadcast_to(looked[:, None], found.shape), confidence)
    between = weights @ (within - shares) ** 2 + audit.named / total * (1 - shares) ** 2
    between += (audit.named.sum() - audit.named) / total * shares**2
    sampling = normal_quantile(confidence) ** 2 * between / total
    down = np.sqrt(weights**2 @ (within - low) ** 2 + sampling)
    up = np.sqrt(weights**2 @ (high - within) ** 2 + sampling)
    bounds = np.clip(np.stack([shares, shares - down, shares + up]), 0, 1)
    if counted is not None:
        # a ratio to what is counted; its own error is small beside the audit's and moves all shares alike
        bounds = np.where(counted, np.minimum(bounds / shares[counted].sum(), 1), np.nan)
    return Quantification(AUDIT, *bounds)
