"""Memory that networks give back and ask for again: the C library is told to keep it, for a while."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
"""Parameters of glibc's ``mallopt`` (malloc.h)."""
_MOST_KEPT, _STEP, _LARGE = 128 * 2**20, 16 * 2**20, 32 * 2**20
_INT_MAX = 2**31 - 1


@cache
def keep_freed_memory(*, whole: bool = False) -> None:
    """Have glibc keep freed memory for the next batch instead of giving it back to the system.

    By default each layer's output is new memory, which the system hands over page by page, filled with zeros:
    a third of a small network's time. At most 128 MB a thread are kept, and what is larger than 32 MB goes
    back at once; with ``whole``, for trainings, everything is kept. Nothing is changed where somebody set
    the allocator up already, and on systems without glibc.
    """
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    if whole:
        mallopt(_MMAP_MAX, 0)
    else:
        mallopt(_MMAP_THRESHOLD, _LARGE)
    mallopt(_TRIM_THRESHOLD, _INT_MAX if whole else _MOST_KEPT)
    mallopt(_TOP_PAD, _STEP)


def give_back_freed_memory() -> None:
    """Give what :func:`keep_freed_memory` kept back to the system, once networks have nothing to do.

    After a run in the window these were 200 MB. Nothing happens on systems without glibc.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
