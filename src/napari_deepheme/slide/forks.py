"""Objects that a forked child must not share with its parent: locks, and what other threads had begun."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Something with locks."""

    def renew(self) -> None:
        """Start afresh in a child process, where no other thread lives on."""


_HELD: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_in_child(held: Renewable) -> None:
    """Have ``held.renew()`` called in every process forked from this one.

    A thread of the parent may hold a lock, or owe a result, at the moment of the fork; in the child that
    thread does not exist, and whoever waits for it would wait for ever.
    """
    _HELD.add(held)


def _renew_all() -> None:
    for held in list(_HELD):
        held.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew_all)
