"""A dialog in which a person gives each class a key."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_deepheme.errors import OptionError
from napari_deepheme.taxonomy import CellClass, known_classes
from napari_deepheme.ui.review.keys import HEMELABEL, ClassKeys, default_keys, in_key_order
from napari_deepheme.ui.widgets import button, label, tip


class KeyEditor(QDialog):
    """Shows the keys in force and lets a person change them.

    Parameters
    ----------
    classes : sequence of CellClass
        Classes that are offered.
    keys : ClassKeys
        The keys in force; classes of theirs that are not in ``classes`` are shown too.
    """

    def __init__(self, classes: Sequence[CellClass], keys: ClassKeys, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of the classes")
        self._classes, self._keys = tuple(classes), keys
        self.fields: dict[str, QLineEdit] = {}
        self._form = QFormLayout()
        self.message = label()
        self.default_button = button(
            "Default",
            "A row of the keyboard for each lineage.",
            lambda: self._show(default_keys(self._classes)),
        )
        self.hemelabel_button = button(
            "HemeLabel",
            "The keys of HemeLabel. Its n and x are classes; Ctrl-→ and Delete then do what n and x did.",
            lambda: self._show(ClassKeys(HEMELABEL)),
        )
        self._lay_out()
        self._show(keys)

    @property
    def keys(self) -> ClassKeys:
        """The keys as accepted."""
        return self._keys

    def accept(self) -> None:
        """Take the keys, unless two classes have the same one: that is said, and the dialog stays."""
        try:
            chosen = ClassKeys({})
            for code, field in self.fields.items():
                if field.text():
                    chosen = chosen.with_key(field.text(), code)
        except OptionError as err:
            self.message.setText(str(err))
            self.message.show()
            return
        self._keys = chosen
        super().accept()

    def _show(self, keys: ClassKeys) -> None:
        more = [code for code in dict.fromkeys(keys.codes.values()) if code not in self._codes()]
        while self._form.rowCount():
            self._form.removeRow(0)
        self.fields = {}
        for each in in_key_order((*self._classes, *known_classes(more).classes), keys):
            field = tip(QLineEdit(keys.key_of(each.code)), f"One letter, digit or sign for {each.name}.")
            field.setMaxLength(1)
            field.setFixedWidth(40)
            field.setAccessibleName(f"Key of {each.name}")
            self._form.addRow(f"{each.name} ({each.code})", field)
            self.fields[each.code] = field
        self.message.hide()

    def _codes(self) -> set[str]:
        return {each.code for each in self._classes}

    def _lay_out(self) -> None:
        inner = QWidget()
        inner.setLayout(self._form)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(inner)
        presets = QHBoxLayout()
        presets.addWidget(self.default_button)
        presets.addWidget(self.hemelabel_button)
        kinds = QDialogButtonBox.StandardButton
        box = QDialogButtonBox(kinds.Save | kinds.Cancel)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(presets)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.message)
        layout.addWidget(box)
        self.resize(380, 520)
