"""What a limit of memory means for a process that classifies."""

from __future__ import annotations

import re

from napari_deepheme.analysis.options import RunOptions
from napari_deepheme.errors import OptionError

BASE = 900 * 10**6
"""Bytes of Python, torch, the networks of an embedded model and the tiles held, whatever the batch."""
PER_CORE = 40 * 10**6
"""Bytes of the tiles that each core has in hand, and of memory that it keeps for the next batch."""
PER_CROP = 75 * 10**5
"""Bytes of a crop more in the batch of each core.

All three were measured with pbc-11: on two cores a slide of 5,760² px took 1.09 GB at its peak with a batch
of 8; one of 2,048² px took 0.85, 0.87, 0.94 and 1.29 GB with batches of 1, 4, 8 and 32. A dask worker of
one thread held about 0.95 GB of the first. On more than two cores they are extrapolated.
"""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def bytes_of(text: str) -> int:
    """Bytes of a text such as ``4GB``, ``800 MB`` or ``2GiB``.

    Raises
    ------
    OptionError
        It is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if found is None or (found[3] and not found[2]):
        raise OptionError(f"--memory-limit {text}: expected a number of bytes, such as 4GB.")
    return round(float(found[1]) * (_BINARY if found[3] else _UNITS)[found[2]])


def batch_size_within(limit: int | None, threads: int) -> int:
    """Crops per pass that a process has room for; the usual number without a limit.

    Parameters
    ----------
    limit : int or None
        Bytes that it may take.
    threads : int
        Cores that it computes on.

    Raises
    ------
    OptionError
        There is not even room for one.
    """
    usual = RunOptions().batch_size
    if limit is None:
        return usual
    base, each = BASE + threads * PER_CORE, threads * PER_CROP
    room = (limit - base) // each
    if room < 1:
        raise OptionError(
            f"--memory-limit: {limit / 10**6:.0f} MB are not enough for the networks and a crop on each of "
            f"{threads} cores; give at least {(base + each) / 10**6:.0f} MB."
        )
    return min(usual, room)
