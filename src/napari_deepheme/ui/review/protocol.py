"""What the review needs of the viewer's state, and what a thumbnail needs of the review. No Qt."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from napari_deepheme.taxonomy import Taxonomy


class ReviewState(Protocol):
    """What is needed of :class:`~napari_deepheme.ui.state.ViewerState`."""

    @property
    def table(self) -> pd.DataFrame:
        """Cells in the columns of ``cells.csv``, corrections applied; without an analysis no columns."""
        ...

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The classes in use."""
        ...

    @property
    def audit(self) -> Collection[int]:
        """Ids of the cells drawn for an audit."""
        ...

    def relabel(self, ids: Iterable[int], code: str) -> None:
        """Give cells a class."""
        ...

    def accept(self, ids: Iterable[int]) -> None:
        """Confirm the classes of cells."""
        ...

    def delete(self, ids: Iterable[int]) -> None:
        """Say that these are no cells."""
        ...

    def add(self, yx: tuple[float, float], label: str = "") -> int:
        """Add a cell that was missed; gives its id."""
        ...

    def undo(self) -> bool:
        """Take the last correction back; whether there was one."""
        ...

    def redo(self) -> bool:
        """Let what was taken back last hold again; whether there was anything."""
        ...


@dataclass(frozen=True, slots=True)
class Tile:
    """What a thumbnail shows.

    Attributes
    ----------
    cell : int
        Id.
    code : str
        Class that counts; empty for an added cell without one.
    probability : float
        The model's for its own call; NaN for a cell it was not asked about.
    yx : tuple of float
        Middle, level-0 pixels.
    person, waiting : bool
        A person gave or confirmed the class; it is to be reviewed and nobody did.
    """

    cell: int
    code: str
    probability: float
    yx: tuple[float, float]
    person: bool
    waiting: bool
