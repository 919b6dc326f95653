"""What people say of the cells of one analysis: appended, undone and redone, in its file where it has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from napari_deepheme.analysis.corrections import Correction, CorrectionKind, holding, redoable
from napari_deepheme.store.analysis_file import AnalysisFile
from napari_deepheme.store.open_file import person

Position = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Saying:
    """One thing a person says of a cell; see :class:`~napari_deepheme.analysis.corrections.Correction`."""

    kind: CorrectionKind
    cell: int
    label: str = ""
    yx: Position | None = None
    undoes: int | None = None


class Ledger:
    """The corrections of one analysis, oldest first.

    What was said at once, such as a class given to ten cells, is undone at once. What was said before the
    file was opened is undone one by one: the file does not keep what belonged together.

    Parameters
    ----------
    corrections : sequence of Correction
        Those that there are.
    file : AnalysisFile, optional
        Where they are kept; without one, in memory alone.
    who : str, optional
        Name of the person; by default the one that the system knows.
    """

    def __init__(
        self, corrections: Sequence[Correction] = (), file: AnalysisFile | None = None, who: str = ""
    ) -> None:
        self.corrections, self.file, self.who = tuple(corrections), file, who or person()
        self._group: dict[int, int] = {}

    def say(self, sayings: Sequence[Saying]) -> None:
        """Append what a person says of some cells, all or none.

        Raises
        ------
        AnalysisFileError
            The file cannot be written.
        """
        if not sayings:
            return
        first = self.corrections[-1].id + 1 if self.corrections else 1
        when = datetime.now(UTC).isoformat(timespec="seconds")
        said = [
            Correction(first + i, s.kind, s.cell, self.who, when, s.yx, s.label, s.undoes)
            for i, s in enumerate(sayings)
        ]
        if self.file is not None:
            self.file.keep(said)
        self.corrections = (*self.corrections, *said)
        self._group.update((each.id, first) for each in said)

    def next_cell(self) -> int:
        """Id for a cell that a person adds: the lowest there is, minus one."""
        return min((c.cell for c in self.corrections if c.cell < 0), default=0) - 1

    def undo(self) -> list[Correction]:
        """Take back what was said last; gives the corrections that no longer hold, perhaps none."""
        held = holding(self.corrections)
        if not held:
            return []
        group = self._group.get(held[-1].id)
        last = [each for each in held if group is not None and self._group.get(each.id) == group] or held[-1:]
        self._take_back(last)
        return last

    def redo(self) -> list[Correction]:
        """Take back the last undo, if nothing was said since; gives the corrections that hold again."""
        again: list[Correction] = []
        undo = redoable(self.corrections)
        if undo is None:
            return again
        by_id, taken = {each.id: each for each in self.corrections}, self._group.get(undo.id)
        undos = [
            each
            for each in self.corrections
            if each.kind is CorrectionKind.UNDO and taken is not None and self._group.get(each.id) == taken
        ] or [undo]
        self._take_back(undos)
        return [by_id[each.undoes] for each in undos if each.undoes is not None]

    def _take_back(self, said: Sequence[Correction]) -> None:
        self.say([Saying(CorrectionKind.UNDO, each.cell, undoes=each.id) for each in said])
