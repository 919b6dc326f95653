"""What the colours and shapes of the cells on the slide say."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_deepheme.ui.display import ColourBy
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.widgets import tip

_BY_TIP = (
    "What the colour of a cell on the slide says: its class; or, to see where the model is unsure, "
    "confidence, entropy (all uncertainty), mutual information (how the members disagree), or how unlike "
    "the training cells it is."
)
_SHAPES_TIP = "A shape for each lineage, so that colour is not all there is; cells to review are no squares."
_LEGEND_TIP = "Show on the slide, and in pictures of it, what colours and shapes mean."


class DisplayBox(QWidget):
    """Colour by, shapes by lineage, legend.

    Parameters
    ----------
    state : ViewerState
    """

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        self.by_combo = tip(QComboBox(), _BY_TIP)
        self.by_combo.addItems([str(each) for each in ColourBy])
        self.by_combo.setAccessibleName("Colour by")
        self.shapes_check = tip(QCheckBox("&Shapes by lineage"), _SHAPES_TIP)
        self.legend_check = tip(QCheckBox("Le&gend"), _LEGEND_TIP)
        caption = QLabel("C&olour by")
        caption.setBuddy(self.by_combo)
        layout, above, below = QVBoxLayout(self), QHBoxLayout(), QHBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        above.addWidget(caption)
        above.addWidget(self.by_combo, 1)
        below.addWidget(self.shapes_check)
        below.addWidget(self.legend_check)
        below.addStretch(1)
        layout.addLayout(above)
        layout.addLayout(below)
        self.refresh()
        self.by_combo.currentTextChanged.connect(self._take)
        self.shapes_check.toggled.connect(self._take)
        self.legend_check.toggled.connect(self._take)

    def refresh(self) -> None:
        """Show what is chosen."""
        display = self._state.display
        with (
            QSignalBlocker(self.by_combo),
            QSignalBlocker(self.shapes_check),
            QSignalBlocker(self.legend_check),
        ):
            self.by_combo.setCurrentText(str(display.colour_by))
            self.shapes_check.setChecked(display.lineage_shapes)
            self.legend_check.setChecked(display.legend)

    def _take(self, *_: object) -> None:
        self._state.display = replace(
            self._state.display,
            colour_by=ColourBy(self.by_combo.currentText()),
            lineage_shapes=self.shapes_check.isChecked(),
            legend=self.legend_check.isChecked(),
        )
