"""“Sign off…” in the dock “Review”: asks once more, and says what is signed."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QMessageBox, QPushButton

from napari_deepheme.store.open_file import person
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.widgets import button, tip

_TIP = (
    "Put your name and the time to the review as it stands. It is kept in the analysis file and stands in "
    "Summary and report; a later correction withdraws it."
)


def signing(
    state: ViewerState, try_it: Callable[[Callable[[], object]], None]
) -> tuple[QPushButton, Callable[[], None]]:
    """The button, and what brings it up to date.

    Parameters
    ----------
    state : ViewerState
    try_it : callable
        Calls what it is given and shows what goes wrong.
    """

    def ask() -> None:
        session = state.session
        if session is not None and _agreed(session, made):
            try_it(state.sign)

    def refresh() -> None:
        why = _why_not(state)
        made.setEnabled(not why)
        tip(made, f"{why} {_TIP}" if why else _TIP)

    made = button("S&ign off…", _TIP, ask)
    return made, refresh


def question(session: Session) -> str:
    """What a person is asked before the name is put to it."""
    needed = int(session.table["needs_review"].sum())
    waiting = int(session.to_review().sum())
    said = f"{needed - waiting} of {needed} cells to review are settled."
    warning = f" {waiting} still wait for a person." if waiting else ""
    return f"Sign the review of {session.slide.name} as {person()}?\n{said}{warning}"


def _agreed(session: Session, parent: QPushButton) -> bool:
    buttons = QMessageBox.StandardButton
    answer = QMessageBox.question(
        parent, "Sign off", question(session), buttons.Yes | buttons.Cancel, buttons.Yes
    )
    return answer == buttons.Yes


def _why_not(state: ViewerState) -> str:
    session = state.session
    if session is None:
        return "There are no classified cells yet."
    if session.file is None:
        return "Only an analysis with a file that can be written is signed."
    if state.run is not None:
        return "A run is under way."
    return "It is signed as it stands." if session.review_status.holds else ""
