"""The keys in force in the dock “Review” and the classes they give."""

from __future__ import annotations

from napari.utils.notifications import show_error
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.taxonomy import CellClass, Taxonomy, known_classes
from napari_deepheme.ui.review.key_editor import KeyEditor
from napari_deepheme.ui.review.keys import ClassKeys, default_keys, offered_classes, read_keys, write_keys

_ADAPTED = "-adapted"  # a taxonomy that learned new classes offers the classes of its parent


class KeyChoice:
    """Which key gives which class, as kept for the taxonomy in hand.

    Signals
    -------
    changed : None
        Classes or keys are others.

    Attributes
    ----------
    keys : ClassKeys
    classes : dict of str to CellClass
        All that are offered, by code.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._taxonomy: Taxonomy | None = None
        self.keys = ClassKeys({})
        self.classes: dict[str, CellClass] = {}

    def follow(self, taxonomy: Taxonomy | None) -> None:
        """Take the keys kept for a taxonomy, the default ones for want of others."""
        self._taxonomy = taxonomy
        kept = None
        try:
            kept = read_keys(_name(taxonomy)) if taxonomy is not None else None
        except DeepHemeError as err:
            show_error(str(err))
        self.take(kept)

    def take(self, keys: ClassKeys | None) -> None:
        """Put keys in force, None for the default ones, and show them with their classes."""
        offered = offered_classes(self._taxonomy) if self._taxonomy is not None else ()
        self.keys = default_keys(offered) if keys is None else keys
        self.classes = {each.code: each for each in offered}
        more = [code for code in self.keys.codes.values() if code not in self.classes]
        self.classes |= {each.code: each for each in known_classes(more).classes}
        self.changed.emit()

    def edit(self, parent: QWidget) -> None:
        """Let a person change the keys, and keep them."""
        editor = KeyEditor(tuple(self.classes.values()), self.keys, parent)
        if editor.exec() and self._taxonomy is not None:
            self.take(editor.keys)
            try:
                write_keys(_name(self._taxonomy), editor.keys)
            except DeepHemeError as err:
                show_error(str(err))

    def class_of(self, code: str) -> CellClass:
        """The class of a code, offered or not."""
        return self.classes.get(code) or known_classes([code]).classes[0]


def _name(taxonomy: Taxonomy) -> str:
    return taxonomy.name.removesuffix(_ADAPTED)
