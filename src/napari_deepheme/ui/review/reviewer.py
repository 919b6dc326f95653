"""A person's way through the cells: what is looked at, where one is, what each key does. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_deepheme.ui.review.order import (
    CellFilter,
    Order,
    matching,
    ordered,
    settled_rows,
    waiting_rows,
)
from napari_deepheme.ui.review.protocol import ReviewState, Tile

Ids = NDArray[np.int64]
_NEEDED = ("cell_id", "label", "label_source", "needs_review", "confidence", "y_px", "x_px")


class Reviewer:
    """The cells looked at, in their order; where one is among them; the verbs of the keys.

    The list holds still while one works: a cell that was settled stays where it is, a deleted one comes back
    to its place when that is undone. It is made anew by :meth:`look_at`, and when the model finds more cells.

    Parameters
    ----------
    state : ReviewState

    Attributes
    ----------
    wanted, order, grouped
        What is looked at; see :meth:`look_at`.
    current : int
        Place in the list; -1 without a cell.
    selected : tuple of int
        Ids.
    groups : list of (str, int)
        Class code and number of cells of each group; one group without a name if they are not grouped.
    """

    def __init__(self, state: ReviewState) -> None:
        self._state = state
        self.wanted, self.order, self.grouped = CellFilter(), Order.UNCERTAINTY, False
        self.current = -1
        self.selected: tuple[int, ...] = ()
        self.groups: list[tuple[str, int]] = []
        self._listed: Ids = np.zeros(0, np.int64)
        self._known: Ids = np.zeros(0, np.int64)
        self.look_at(self.wanted, self.order)

    # ------------------------------------------------------------------ what is looked at

    def look_at(self, wanted: CellFilter, order: Order, *, grouped: bool = False) -> None:
        """Choose the cells and their order, in a group for each class if wanted."""
        self.wanted, self.order, self.grouped = wanted, order, grouped
        here = self.current_id if len(self._listed) else None
        table = self._cells()
        ids = table["cell_id"].to_numpy(np.int64)
        self._listed = ids[ordered(table, matching(table, wanted, self._state.audit), order)]
        self._known = ids
        self.current = -1
        self._arrange(table)
        self.go_to(here)

    def refresh(self) -> None:
        """Follow the state after its cells changed."""
        table = self._cells()
        ids = table["cell_id"].to_numpy(np.int64)
        same = np.array_equal(ids, self._ids)
        new = ids[:0] if same else ids[~np.isin(ids, self._known)]
        if (new > 0).any():
            self.look_at(self.wanted, self.order, grouped=self.grouped)
            return
        here, selected = self.current_id, self.selected
        if same:
            self._describe(table)
        else:
            self._known = np.concatenate([self._known, new])
            self._listed = np.concatenate([self._listed, new])
            self._arrange(table)
        self.go_to(here)
        staying = tuple(cell for cell in selected if cell in self._ids)
        self.selected = staying if len(staying) > 1 else self.selected

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> Ids:
        """Ids of the cells looked at, in order."""
        return self._ids[self._rows]

    @property
    def current_id(self) -> int | None:
        """The cell one is at; None if there is none."""
        return int(self._ids[self._rows[self.current]]) if 0 <= self.current < len(self._rows) else None

    def row(self) -> pd.Series | None:
        """All that is known of the current cell."""
        there = 0 <= self.current < len(self._rows)
        return self._state.table.iloc[int(self._rows[self.current])] if there else None

    def tile(self, index: int) -> Tile:
        """What the thumbnail at a place shows."""
        row = self._rows[index]
        y, x = float(self._yx[row, 0]), float(self._yx[row, 1])
        return Tile(
            int(self._ids[row]),
            str(self._labels[row]),
            float(self._confidence[row]),
            (y, x),
            bool(self._settled[row]),
            bool(self._waiting[row]),
        )

    def index_of(self, cell: int | None) -> int:
        """Place of a cell in the list; -1 if it is not there."""
        if cell is None:
            return -1
        found = np.flatnonzero(self.ids == cell)
        return int(found[0]) if len(found) else -1

    @property
    def n_settled(self) -> int:
        """How many of the cells looked at a person settled."""
        return int(self._settled[self._rows].sum())

    @property
    def n_waiting(self) -> int:
        """How many cells of all still wait for a person."""
        return int(self._waiting.sum())

    # ------------------------------------------------------------------ where one is

    def go_to(self, cell: int | None) -> None:
        """Be at a cell; if it is not in the list, near to where one was."""
        index = self.index_of(cell)
        self.select_index(index if index >= 0 else min(max(self.current, 0), len(self) - 1))

    def take_selection(self, cells: Iterable[int], current: int | None) -> None:
        """Follow a selection that was made elsewhere; without any cell of the list in it, stay."""
        index = self.index_of(current)
        if index >= 0:
            self.current, self.selected = index, tuple(int(cell) for cell in cells)

    def select_index(self, index: int, *, since: int | None = None, toggle: bool = False) -> None:
        """Be at a place; select it alone, all from ``since`` up to it, or it besides the others."""
        if not 0 <= index < len(self):
            self.current, self.selected = -1, ()
            return
        cell = int(self._ids[self._rows[index]])
        if toggle:
            others = tuple(each for each in self.selected if each != cell)
            self.selected = others if len(others) < len(self.selected) else (*others, cell)
        elif since is not None:
            low, high = sorted((index, since))
            self.selected = tuple(self.ids[low : high + 1].tolist())
        else:
            self.selected = (cell,)
        self.current = index

    def next_to_review(self) -> bool:
        """Go to the next cell that waits for a person, after the last from the first again."""
        waiting = np.flatnonzero(self._waiting[self._rows])
        if not len(waiting):
            return False
        later = waiting[waiting > self.current]
        self.select_index(int(later[0] if len(later) else waiting[0]))
        return True

    # ------------------------------------------------------------------ what a key does

    def label(self, code: str) -> None:
        """Give the selected cells a class and go on."""
        self._settle(lambda cells: self._state.relabel(cells, code))

    def accept(self) -> None:
        """Confirm the selected cells and go on."""
        self._settle(self._state.accept)

    def no_cell(self) -> None:
        """Say that the selected are no cells, and go on."""
        if self.selected:
            self._state.delete(self.selected)
            self.refresh()

    def move_to_class(self, cells: Iterable[int], code: str) -> None:
        """Give certain cells a class, and stay where one is."""
        self._state.relabel(tuple(cells), code)
        self.refresh()

    def add(self, yx: tuple[float, float]) -> None:
        """Add a cell that was missed, and go there."""
        cell = self._state.add(yx)
        self.refresh()
        self.go_to(cell)

    def undo(self) -> bool:
        """Take the last correction back; whether there was one."""
        return self._back(self._state.undo)

    def redo(self) -> bool:
        """Let the correction taken back last hold again; whether there was one."""
        return self._back(self._state.redo)

    def _settle(self, verb: Callable[[tuple[int, ...]], None]) -> None:
        cells = self.selected
        if not cells:
            return
        last = max(self.index_of(each) for each in cells)
        after = self.ids[last + 1 :]
        verb(cells)
        self.refresh()
        self._go_on(after, cells[-1])

    def _go_on(self, after: Ids, cell: int) -> None:
        """To the next cell that nobody settled, as they lay before; where there is none, stay."""
        settled = self._ids[self._settled]
        later = after[~np.isin(after, settled)]
        self.go_to(int(later[0]) if len(later) else cell)

    def _back(self, verb: Callable[[], bool]) -> bool:
        done = verb()
        if done:
            self.refresh()
        return done

    # ------------------------------------------------------------------ the columns

    def _cells(self) -> pd.DataFrame:
        table = self._state.table
        if len(table.columns):
            return table
        empty: dict[str, list[float]] = {name: [] for name in (*_NEEDED, "class", "entropy", "agreement")}
        return pd.DataFrame(empty).assign(mutual_information=[], ood_distance=[], region=[])

    def _arrange(self, table: pd.DataFrame) -> None:
        """Find the rows of the list."""
        self._ids = table["cell_id"].to_numpy(np.int64)
        rows = pd.Index(self._ids).get_indexer(pd.Index(self._listed))
        self._in_list: NDArray[np.intp] = rows[rows >= 0]
        self._describe(table)

    def _describe(self, table: pd.DataFrame) -> None:
        """Know what the cells of the same rows are now, and group them by it."""
        self._labels = table["label"].array
        self._confidence = table["confidence"].to_numpy(np.float64)
        self._yx = table[["y_px", "x_px"]].to_numpy(np.float64)
        self._settled, self._waiting = settled_rows(table), waiting_rows(table)
        self._rows = self._in_list
        self.groups = [("", len(self._rows))]
        if self.grouped:
            self._group()

    def _group(self) -> None:
        labels = np.asarray(self._labels[self._rows], object)
        taxonomy = self._state.taxonomy
        codes = [*dict.fromkeys((*(taxonomy.codes if taxonomy else ()), *labels.tolist()))]
        rank = pd.Index(codes).get_indexer(pd.Index(labels))
        self._rows = self._rows[np.argsort(rank, kind="stable")]
        present, counts = np.unique(rank, return_counts=True)
        self.groups = [(codes[i], n) for i, n in zip(present.tolist(), counts.tolist(), strict=True)]
