"""“From …” in the dock “Review”: which analyses are learned from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_deepheme.adapt.learning import labelled_counts
from napari_deepheme.store import SUFFIX
from napari_deepheme.ui.other_labels import LabelledFile
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.widgets import tip

_TIP = (
    "Which analyses to learn from: labels of several slides teach more, and then each is judged by what was "
    "learned from the other slides."
)


class LabelsButton(QPushButton):
    """Tells how many analyses are learned from; its menu offers them, each with its labels.

    Parameters
    ----------
    state : ViewerState
    try_it : callable
        Calls what it is given and shows what goes wrong.
    """

    def __init__(self, state: ViewerState, try_it: Callable[[Callable[[], object]], None]) -> None:
        super().__init__()
        self._state, self._try = state, try_it
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self.fill)
        self.setMenu(self._menu)
        tip(self, _TIP)

    def refresh(self) -> None:
        """Say how many are chosen of those offered."""
        state, session = self._state, self._state.session
        there = session is not None and session.file is not None
        self.setEnabled(there)
        tip(self, _TIP if there else f"There is no analysis with a file yet. {_TIP}")
        n = 1 + len(state.others_to_learn_from)
        self.setText(f"Fro&m {n} analys{'i' if n == 1 else 'e'}s")

    def fill(self) -> None:
        """Offer what there is now."""
        self._menu.clear()
        state, session = self._state, self._state.session
        if session is None or session.file is None:
            return
        own = LabelledFile(session.file.path, session.slide, labelled_counts(session.table))
        self._entry(own).setEnabled(False)  # the one in hand is always learned from
        for each in state.other_labels.offered(state.sessions, session):
            self._entry(each, state.other_labels.is_chosen(each.path)).toggled.connect(
                lambda on, path=each.path: self._choose(path, on=on)
            )
        self._menu.addSeparator()
        self._menu.addAction("&Add analysis files…", self._add)

    def _entry(self, offered: LabelledFile, chosen: bool = True) -> QAction:
        action = QAction(offered.line.replace("&", "&&"), self._menu)
        action.setCheckable(True)
        action.setChecked(chosen)
        self._menu.addAction(action)
        return action

    def _choose(self, path: Path, *, on: bool) -> None:
        self._state.other_labels.choose(path, on=on)
        self._state.learned.emit()

    def _add(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(
            self, "Learn also from the labels of", "", f"Analyses (*{SUFFIX})"
        )
        for path in paths:
            self._try(partial(self._state.other_labels.add, Path(path)))
        self._state.learned.emit()
