"""The part of the dock that says where the cells come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Points

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.cells import Cells
from napari_deepheme.detect.choose import STAIN
from napari_deepheme.ui.cells_source import cells_from
from napari_deepheme.ui.layer_combo import LayerCombo
from napari_deepheme.ui.widgets import tip

if TYPE_CHECKING:
    from napari.components import ViewerModel

_DETECTORS = {"find them": AnalysisOptions().detector, "find them by stain": STAIN}
_TIP = (
    "What finds the nucleated cells. “find them”: the detector that comes with the plugin, also in clusters. "
    "“find them by stain”: by the colour of their nuclei, quick, for thin films. A points or labels layer: "
    "the cells in it, where another program or you marked them, or an earlier result to be classified by "
    "another model."
)


class CellsBox(LayerCombo):
    """Chooses a detector, or a points or labels layer as the source of cells."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer, lambda layer: isinstance(layer, Points | Labels), tuple(_DETECTORS))
        tip(self, _TIP)

    @property
    def detector(self) -> str:
        """The chosen detector; the default one when a layer is chosen."""
        return AnalysisOptions().detector if self.layer is not None else _DETECTORS[self.currentText()]

    def cells(self, image: Image) -> tuple[Cells | None, str]:
        """Cells of the chosen layer, None when they are to be found, and a remark worth showing or nothing.

        Raises
        ------
        OptionError
            The layer has no cells on the slide.
        """
        layer = self.layer
        return cells_from(layer, image) if layer is not None else (None, "")
