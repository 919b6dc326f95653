"""The part of the dock that says which shapes count, and lets a person use or leave fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Shapes
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_deepheme.ui.fields_layer import (
    describe_choice,
    describe_field,
    recolour,
    use_selected,
)
from napari_deepheme.ui.napari_versions import on_selected
from napari_deepheme.ui.slides import is_fields
from napari_deepheme.ui.widgets import button, label, tip

if TYPE_CHECKING:
    from napari.components import ViewerModel

_USE_TIP = "Count in the selected fields too. A field you draw is used without this."
_LEAVE_TIP = "Do not count in the selected fields; they stay on the slide. Deleting one does the same."
_WHY = "Select fields first: take the “select shapes” tool of the layer (key 5) and click on them."
_HOVER = "Point at a field on the slide to read why it is used or left."


class FieldsBox(QWidget):
    """Shows how many shapes of a layer count; for an overlay of fields also why, and two buttons.

    Signals
    -------
    edited : None
        A person changed an overlay, or which of its fields are used.
    """

    edited = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Shapes | None = None
        self._end_selection: Callable[[], None] = lambda: None
        self.line = tip(label(), "What “shapes” would count in.")
        self.use_button = button("Use selected", _USE_TIP, lambda: self._use(use=True))
        self.leave_button = button("Leave selected", _LEAVE_TIP, lambda: self._use(use=False))
        self.hover_line = tip(label(_HOVER), "The field under the cursor: what it is, and why.")
        self.hover_line.setAlignment(Qt.AlignmentFlag.AlignTop)
        # room for what it may say, so that the dock keeps still under a moving cursor
        self.hover_line.setFixedHeight(3 * self.hover_line.fontMetrics().lineSpacing())
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.line, 0, 0, 1, 2)
        grid.addWidget(self.use_button, 1, 0)
        grid.addWidget(self.leave_button, 1, 1)
        grid.addWidget(self.hover_line, 2, 0, 1, 2)
        viewer.mouse_move_callbacks.append(self._on_move)
        self.follow(None)

    def follow(self, layer: Shapes | None) -> None:
        """Speak of this layer from now on."""
        if layer is not self._layer:
            self._let_go()
            self._layer = layer
            if layer is not None:
                layer.events.data.connect(self._on_data)
                layer.events.features.connect(self._refresh)
                self._end_selection = on_selected(layer, self._refresh)
        self._refresh()

    def stop(self) -> None:
        """Let go of the viewer and the layer."""
        self._let_go()
        self._layer = None
        if self._on_move in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.remove(self._on_move)

    def _let_go(self) -> None:
        if self._layer is not None:
            self._layer.events.data.disconnect(self._on_data)
            self._layer.events.features.disconnect(self._refresh)
            self._end_selection()

    def _refresh(self, *_: object) -> None:
        layer = self._layer
        self.setVisible(layer is not None)
        if layer is None:
            return
        self.line.setText(describe_choice(layer))
        for control, text in ((self.use_button, _USE_TIP), (self.leave_button, _LEAVE_TIP)):
            control.setEnabled(bool(layer.selected_data))
            tip(control, text if layer.selected_data else f"{_WHY} {text}")
        for each in (self.use_button, self.leave_button, self.hover_line):
            each.setVisible(is_fields(layer))

    def _use(self, *, use: bool) -> None:
        if self._layer is not None:
            use_selected(self._layer, use=use)
            self.edited.emit()

    def _on_data(self, event: object) -> None:
        """Follow what a person draws or deletes; a field just drawn is one of the used, not the only one."""
        layer, action = self._layer, str(getattr(event, "action", ""))
        if layer is not None and is_fields(layer) and action in ("added", "removed", "changed"):
            if action == "added":
                layer.selected_data = set()
                recolour(layer)
            self.edited.emit()
        self._refresh()

    def _on_move(self, viewer: object, event: object) -> None:  # noqa: ARG002 - as napari calls it
        if self._layer is not None and is_fields(self._layer):
            said = describe_field(self._layer, getattr(event, "position", ()))
            self.hover_line.setText(said or _HOVER)
