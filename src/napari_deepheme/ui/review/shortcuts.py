"""What a key press means in the review."""

from __future__ import annotations

from enum import Enum, auto

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent

from napari_deepheme.ui.review.keys import NEXT_KEY, NO_CELL_KEY, ClassKeys

_NONE, _CONTROL, _SHIFT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


class Action(Enum):
    """What keys do besides giving a class."""

    ACCEPT = auto()
    NO_CELL = auto()
    NEXT = auto()
    UNDO = auto()
    REDO = auto()
    CONTEXT = auto()


_NAMED = {
    (_NONE, Qt.Key.Key_Return): Action.ACCEPT,
    (_NONE, Qt.Key.Key_Enter): Action.ACCEPT,
    (_NONE, Qt.Key.Key_Delete): Action.NO_CELL,
    (_NONE, Qt.Key.Key_Space): Action.CONTEXT,
    (_CONTROL, Qt.Key.Key_Right): Action.NEXT,
    (_CONTROL, Qt.Key.Key_Z): Action.UNDO,
    (_CONTROL | _SHIFT, Qt.Key.Key_Z): Action.REDO,
    (_CONTROL, Qt.Key.Key_Y): Action.REDO,
}
_LETTERS = {NEXT_KEY: Action.NEXT, NO_CELL_KEY: Action.NO_CELL}


def meaning(event: QKeyEvent, keys: ClassKeys) -> Action | str | None:
    """An action, the code of a class, or None. A class's own key goes before an action's letter."""
    held = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    named = _NAMED.get((held, Qt.Key(event.key())))
    if named is not None or held not in (_NONE, _SHIFT):
        return named
    text = event.text().lower()
    return keys.codes.get(text) or _LETTERS.get(text)
