"""What a person says of cells: the part of the state that corrects, undoes and signs. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from psygnal import Signal

from napari_deepheme.analysis.corrections import Correction, CorrectionKind
from napari_deepheme.ui.ledger import Position
from napari_deepheme.ui.selecting import Ids, Selecting, as_ids
from napari_deepheme.ui.session import Session


class Correcting(Selecting):
    """Corrections; see :class:`~napari_deepheme.ui.state.ViewerState` for the signals."""

    cells_changed = Signal(object)
    said = Signal(str)
    signed = Signal()

    @property
    def session(self) -> Session | None:
        """The analysis in hand."""
        raise NotImplementedError

    def relabel(self, ids: Iterable[int], code: str) -> None:
        """Give cells a class."""
        session = self._in_hand()
        ids = as_ids(ids)
        before = session.label_of(int(ids[0])) if len(ids) == 1 else f"{len(ids)} cells"
        self._changed(session.relabel(ids, code), f"{before} → {code}")

    def accept(self, ids: Iterable[int]) -> None:
        """Settle cells with the class each has."""
        done = self._in_hand().accept(as_ids(ids))
        self._changed(done, f"accepted: {self._names(done)}")

    def move(self, cell: int, yx: Position) -> None:
        """Put a cell elsewhere, level-0 pixels."""
        self._changed(self._in_hand().move(cell, yx), f"cell {cell} moved")

    def delete(self, ids: Iterable[int]) -> None:
        """Say that these are no cells."""
        done = self._in_hand().delete(as_ids(ids))
        self._keep_present()
        self._changed(done, f"no cell: {done[0]}" if len(done) == 1 else f"no cells: {len(done)}")

    def add(self, yx: Position, label: str = "") -> int:
        """Add a cell that was missed, level-0 pixels; gives its id."""
        cell = self._in_hand().add(yx, label)
        self._changed(np.array([cell]), f"cell {cell} added")
        return cell

    def undo(self) -> bool:
        """Take back what was said last, as often as one likes; whether there was anything."""
        return self._took_back(self._in_hand().undo(), "taken back")

    def redo(self) -> bool:
        """Say again what was taken back last; whether there was anything."""
        return self._took_back(self._in_hand().redo(), "done again")

    def sign(self) -> None:
        """Put the person's name to the review as it stands."""
        self._in_hand().sign()
        self.signed.emit()

    def _in_hand(self) -> Session:
        session = self.session
        if session is None:
            raise ValueError("There is no analysis in hand; classify cells or open one first.")
        return session

    def _names(self, ids: Ids) -> str:
        return self._in_hand().label_of(int(ids[0])) if len(ids) == 1 else f"{len(ids)} cells"

    def _changed(self, ids: Ids, line: str) -> None:
        if len(ids):
            self.cells_changed.emit(ids)
            self.said.emit(line)

    def _took_back(self, said: Sequence[Correction], what: str) -> bool:
        if not said:
            return False
        self._keep_present()
        first = said[0]
        name = f"{first.kind} {first.label}".strip() if first.kind is not CorrectionKind.UNDO else "undo"
        line = name if len(said) == 1 else f"{name} of {len(said)} cells"
        self._changed(as_ids(each.cell for each in said), f"{what}: {line}")
        return True
