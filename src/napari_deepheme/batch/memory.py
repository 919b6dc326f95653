"""What a limit of memory means for a process that classifies."""

from __future__ import annotations

import re

from napari_deepheme.analysis.options import RunOptions
from napari_deepheme.errors import OptionError

BASE = 900 * 10**6
"""Bytes of Python, torch, the networks of an embedded model and the tiles held, whatever the batch; a run of
pbc-11 with the usual batch took 1.42 GB at its peak, on two cores."""
PER_CROP = 10 * 10**6
"""Bytes allowed for a crop more in a batch: more than it takes on two cores."""
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


def batch_size_within(limit: int | None) -> int:
    """Crops per pass that a process of so many bytes has room for; the usual number without a limit.

    Raises
    ------
    OptionError
        There is not even room for one.
    """
    usual = RunOptions().batch_size
    if limit is None:
        return usual
    room = (limit - BASE) // PER_CROP
    if room < 1:
        raise OptionError(
            f"--memory-limit: {limit / 10**6:.0f} MB are not enough for the networks and one tile; give at "
            f"least {(BASE + PER_CROP) / 10**6:.0f} MB."
        )
    return min(usual, room)
