"""The part of the dock that chooses a slide and shows, or asks for, its µm/px."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QHBoxLayout, QWidget

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.slide.metadata import MPP_RANGE
from napari_deepheme.ui.commands import ask_for_slide
from napari_deepheme.ui.layer_combo import LayerCombo
from napari_deepheme.ui.slides import describe, lacks_mpp, mpp_of, set_mpp, slide_path
from napari_deepheme.ui.widgets import button, label, tip

if TYPE_CHECKING:
    from napari.components import ViewerModel

_TYPICAL_MPP = 0.25


class SlideBox(QWidget):
    """Chooses an image layer whose file is classified.

    Signals
    -------
    changed : None
        Another slide, or another µm/px.
    failed : str
        What went wrong, one sentence.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.combo = tip(
            LayerCombo(viewer, lambda layer: slide_path(layer) is not None, newest=True),
            "The slide to classify: an image layer that was opened from a file.",
        )
        self.combo.setAccessibleName("Slide")
        self.setFocusProxy(self.combo)
        self.open_button = button("&Open…", "Open a slide lazily, at its true scale in µm.", self._open)
        self.format_line = label()
        self.mpp_line = label()
        self.edit_button = button(
            "edit",
            "State the µm/px yourself when the file lacks it or is wrong: cells are found and classified "
            "by their size in µm.",
            self._start_edit,
        )
        self._editor = QWidget()
        self.mpp_spin = tip(
            QDoubleSpinBox(), "µm per pixel at full resolution: 0.25 for a typical 40× scan. Enter takes it."
        )
        self._lay_out()
        self.combo.changed.connect(self._on_choice)
        self._typed = False
        self.mpp_spin.setKeyboardTracking(False)
        self.mpp_spin.valueChanged.connect(self._on_typed)
        self.mpp_spin.editingFinished.connect(self._take_typed)
        if (line := self.mpp_spin.lineEdit()) is not None:
            line.returnPressed.connect(self.apply_mpp)
        self._on_choice()

    @property
    def layer(self) -> Image | None:
        """The chosen slide's layer; None when there is no slide."""
        return self.combo.layer

    def stop(self) -> None:
        """Let go of the viewer."""
        self.combo.stop()

    def apply_mpp(self) -> None:
        """Take the µm/px in the box as the slide's."""
        self._typed = False
        if self.layer is not None:
            set_mpp(self._viewer, self.layer, self.mpp_spin.value())
            self._viewer.reset_view()
            self._on_choice()

    def ask_mpp(self) -> None:
        """Show the box in which a person states the µm/px."""
        self._editor.show()
        self.mpp_spin.setFocus()

    def _lay_out(self) -> None:
        self.mpp_spin.setRange(*MPP_RANGE)
        self.mpp_spin.setDecimals(4)
        self.mpp_spin.setSingleStep(0.01)
        self.mpp_spin.setSuffix(" µm/px")
        row = QHBoxLayout(self._editor)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.mpp_spin, 1)
        row.addWidget(
            button("Use this", "Take this µm/px for the slide and draw it at that scale.", self.apply_mpp)
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.combo, 0, 0)
        grid.addWidget(self.open_button, 0, 1)
        grid.addWidget(self.format_line, 1, 0, 1, 2)
        grid.addWidget(self.mpp_line, 2, 0)
        grid.addWidget(self.edit_button, 2, 1)
        grid.addWidget(self._editor, 3, 0, 1, 2)
        grid.setColumnStretch(0, 1)

    def _on_choice(self) -> None:
        layer = self.layer
        self.combo.setEnabled(layer is not None)
        self.edit_button.setVisible(layer is not None)
        first, second = describe(layer) if layer is not None else ("No slide yet: open one.", "")
        self.format_line.setText(first)
        self.mpp_line.setText(second)
        self.mpp_line.setVisible(bool(second))
        mpp = mpp_of(layer) if layer is not None else None
        with QSignalBlocker(self.mpp_spin):
            self.mpp_spin.setValue(mpp[0] if mpp else _TYPICAL_MPP)
        self._typed = False
        self._editor.setVisible(layer is not None and lacks_mpp(layer))
        self.changed.emit()

    def _on_typed(self) -> None:
        self._typed = True

    def _take_typed(self) -> None:
        """What was typed counts once another control is used, without a click on “Use this”."""
        if self._typed:
            self.apply_mpp()

    def _start_edit(self) -> None:
        if self._editor.isVisible():
            self._editor.hide()
        else:
            self.ask_mpp()

    def _open(self) -> None:
        try:
            ask_for_slide(self._viewer, self)
        except DeepHemeError as err:
            self.failed.emit(str(err))
