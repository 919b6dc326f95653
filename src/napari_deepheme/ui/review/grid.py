"""Where the tiles of a gallery lie, in groups with a heading each. Pure arithmetic, no Qt."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto


class Step(Enum):
    """A step from one tile to another."""

    LEFT = auto()
    RIGHT = auto()
    UP = auto()
    DOWN = auto()
    PAGE_UP = auto()
    PAGE_DOWN = auto()
    FIRST = auto()
    LAST = auto()


@dataclass(frozen=True, slots=True)
class Grid:
    """Tiles in rows from left to right; each group begins with a heading and a new row.

    Attributes
    ----------
    groups : sequence of int
        Number of tiles in each group.
    columns : int
        Tiles in a row.
    tile : tuple of int
        Width and height, px.
    heading : int
        Height of a heading, px; 0 for none.
    """

    groups: Sequence[int]
    columns: int
    tile: tuple[int, int]
    heading: int = 0
    _first: list[int] = field(init=False, default_factory=list)
    _top: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        first = top = 0
        for size in self.groups:
            self._first.append(first)
            self._top.append(top)
            first += size
            top += self.heading + -(-size // self.columns) * self.tile[1]
        self._first.append(first)
        self._top.append(top)

    @property
    def height(self) -> int:
        """Height of all, px."""
        return self._top[-1]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self._first[-1]

    def group_of(self, index: int) -> int:
        """Group of a tile."""
        return bisect_right(self._first, index) - 1

    def heading_top(self, group: int) -> int:
        """Where the heading of a group begins, px."""
        return self._top[group]

    def place(self, index: int) -> tuple[int, int]:
        """Left and top of a tile, px."""
        group = self.group_of(index)
        row, column = divmod(index - self._first[group], self.columns)
        return column * self.tile[0], self._top[group] + self.heading + row * self.tile[1]

    def group_at(self, y: int) -> int | None:
        """Group that lies at a height, its heading included; None beyond all."""
        if not self.groups or not 0 <= y < self.height:
            return None
        return bisect_right(self._top, y, hi=len(self.groups)) - 1

    def index_at(self, x: int, y: int) -> int | None:
        """Tile at a point; None where there is none."""
        group = self.group_at(y)
        if group is None or not 0 <= x < self.columns * self.tile[0]:
            return None
        below = y - self._top[group] - self.heading
        index = self._first[group] + below // self.tile[1] * self.columns + x // self.tile[0]
        return index if below >= 0 and index < self._first[group + 1] else None

    def between(self, top: int, bottom: int) -> range:
        """Tiles of which a part lies between two heights."""
        if not self.count or bottom <= 0 or top >= self.height:
            return range(0)
        return range(self._from(max(top, 0)), self._to(min(bottom, self.height) - 1))

    def headings_between(self, top: int, bottom: int) -> range:
        """Groups of which the heading lies, in part, between two heights."""
        if not self.heading:
            return range(0)
        first = bisect_right(self._top, top - self.heading, hi=len(self.groups))
        return range(first, bisect_right(self._top, bottom - 1, hi=len(self.groups)))

    def stepped(self, index: int, step: Step, page: int) -> int:
        """The tile one step from another; ``page`` is the height of what is seen, px."""
        if step in (Step.FIRST, Step.LAST):
            return 0 if step is Step.FIRST else self.count - 1
        if step in (Step.LEFT, Step.RIGHT):
            return min(max(index + (1 if step is Step.RIGHT else -1), 0), self.count - 1)
        rows = max(page // self.tile[1], 1) if step in (Step.PAGE_UP, Step.PAGE_DOWN) else 1
        for _ in range(rows):
            index = self._below(index) if step in (Step.DOWN, Step.PAGE_DOWN) else self._above(index)
        return index

    def _from(self, y: int) -> int:
        """The first tile that ends below a height."""
        group = bisect_right(self._top, y, hi=len(self.groups)) - 1
        rows = max((y - self._top[group] - self.heading) // self.tile[1], 0)
        return min(self._first[group] + rows * self.columns, self._first[group + 1])

    def _to(self, y: int) -> int:
        """The tile after the last that begins at or above a height."""
        group = bisect_right(self._top, y, hi=len(self.groups)) - 1
        rows = (y - self._top[group] - self.heading) // self.tile[1] + 1
        return min(self._first[group] + max(rows, 0) * self.columns, self._first[group + 1])

    def _below(self, index: int) -> int:
        group = self.group_of(index)
        column = (index - self._first[group]) % self.columns
        last = self._first[group + 1] - 1
        if (index - self._first[group]) // self.columns < (last - self._first[group]) // self.columns:
            return min(index + self.columns, last)
        following = next((g for g in range(group + 1, len(self.groups)) if self.groups[g]), None)
        if following is None:
            return index
        return min(self._first[following] + column, self._first[following + 1] - 1)

    def _above(self, index: int) -> int:
        group = self.group_of(index)
        column = (index - self._first[group]) % self.columns
        if index - self._first[group] >= self.columns:
            return index - self.columns
        previous = next((g for g in range(group - 1, -1, -1) if self.groups[g]), None)
        if previous is None:
            return index
        last_row = (self.groups[previous] - 1) // self.columns * self.columns
        return min(self._first[previous] + last_row + column, self._first[previous + 1] - 1)
