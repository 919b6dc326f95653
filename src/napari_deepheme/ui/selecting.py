"""Which cells are selected and which are shown: the part of the state that the views share. No Qt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psygnal import Signal

Ids = NDArray[np.int64]
_NOTHING: Ids = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which cells are shown.

    Attributes
    ----------
    hidden : frozenset of str
        Codes of classes that are not shown on the slide.
    """

    hidden: frozenset[str] = frozenset()


class Selecting:
    """Selection and filters; see :class:`~napari_deepheme.ui.state.ViewerState` for the signals."""

    selection_changed = Signal()
    filters_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._selection: Ids = _NOTHING
        self._current: int | None = None
        self._filters = Filters()

    @property
    def table(self) -> pd.DataFrame:
        """The cells that can be selected, by ``cell_id``."""
        raise NotImplementedError

    @property
    def selection(self) -> Ids:
        """Ids of the selected cells."""
        return self._selection

    @property
    def current(self) -> int | None:
        """Id of the cell that keys and camera are about."""
        return self._current

    def select(self, ids: Iterable[int], current: int | None = None) -> None:
        """Select cells; the current one is the first of them unless another is named."""
        chosen = as_ids(ids)
        if current is None and len(chosen):
            current = int(chosen[0])
        if np.array_equal(chosen, self._selection) and current == self._current:
            return
        self._selection, self._current = chosen, current
        self.selection_changed.emit()

    @property
    def filters(self) -> Filters:
        """Which cells are shown."""
        return self._filters

    @filters.setter
    def filters(self, filters: Filters) -> None:
        if filters != self._filters:
            self._filters = filters
            self.filters_changed.emit()

    def hide(self, codes: Iterable[str]) -> None:
        """Hide the cells of these classes on the slide, and of no others."""
        self.filters = replace(self._filters, hidden=frozenset(codes))

    def _select_nothing(self) -> None:
        """Forget the selection; whoever calls tells of it."""
        self._selection, self._current = _NOTHING, None

    def _keep_present(self) -> None:
        """Select no cell that is not in the table any more."""
        if not len(self._selection):
            return
        there = np.isin(self._selection, self.table["cell_id"].to_numpy())
        if not there.all():
            left = self._selection[there]
            self.select(left, self._current if self._current in left else None)


def as_ids(ids: Iterable[int]) -> Ids:
    """Ids of cells as an array."""
    return np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), np.int64)
