"""The part of the dock that says which part of the slide to analyse."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from napari.layers import Image, Shapes
from qtpy.QtWidgets import QComboBox, QGridLayout, QRadioButton, QWidget

from napari_deepheme.cells import Region
from napari_deepheme.errors import OptionError
from napari_deepheme.ui.regions import shape_regions, view_region
from napari_deepheme.ui.widgets import tip

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Where(StrEnum):
    """Which part of a slide is analysed."""

    SLIDE = "whole slide"
    VIEW = "current view"
    SHAPES = "shapes"


_TIPS = {
    Where.SLIDE: "Fields all over the slide in a fixed random order, so that a count that stops early "
    "is spread over the slide.",
    Where.VIEW: "Only what is in view now: quick to try on one field.",
    Where.SHAPES: "Only inside the rectangles, ellipses and polygons of a shapes layer: the selected ones, "
    "or all when none is selected. For marking the part of a smear that can be counted.",
}


class WhereBox(QWidget):
    """Chooses the whole slide, the current view or drawn shapes."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.radios = {where: tip(QRadioButton(where.value), text) for where, text in _TIPS.items()}
        self.radios[Where.SLIDE].setChecked(True)
        self.shapes_combo = tip(QComboBox(), "The shapes layer to take the outlines from.")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.radios[Where.SLIDE], 0, 0)
        grid.addWidget(self.radios[Where.VIEW], 0, 1)
        grid.addWidget(self.radios[Where.SHAPES], 1, 0)
        grid.addWidget(self.shapes_combo, 1, 1)
        for name in ("inserted", "removed", "renamed"):
            getattr(viewer.layers.events, name).connect(self.refresh)
        self.refresh()

    @property
    def chosen(self) -> Where:
        """What is ticked."""
        return next(where for where, radio in self.radios.items() if radio.isChecked())

    def refresh(self, event: object = None) -> None:  # noqa: ARG002 - napari passes its event
        """List the shapes layers again."""
        names = [layer.name for layer in self._viewer.layers if isinstance(layer, Shapes)]
        chosen = self.shapes_combo.currentText()
        self.shapes_combo.clear()
        self.shapes_combo.addItems(names or ["no shapes layer"])
        self.shapes_combo.setCurrentIndex(names.index(chosen) if chosen in names else 0)
        self.shapes_combo.setEnabled(bool(names))
        self.radios[Where.SHAPES].setEnabled(bool(names))
        why = "" if names else " (Add a shapes layer and draw on it first.)"
        tip(self.radios[Where.SHAPES], _TIPS[Where.SHAPES] + why)
        if not names and self.chosen is Where.SHAPES:
            self.radios[Where.SLIDE].setChecked(True)

    def regions(self, image: Image) -> tuple[tuple[Region, ...], str]:
        """Regions on a slide, none meaning all of it, and a remark worth showing or nothing.

        Raises
        ------
        OptionError
            Nothing of the slide is in view, or no shape encloses anything.
        """
        if self.chosen is Where.SLIDE:
            return (), ""
        if self.chosen is Where.VIEW:
            camera, canvas = self._viewer.scene.camera, self._viewer.canvas
            canvas_px = canvas.viewbox_size(self._viewer.layers)
            return (view_region(image, camera.center, camera.zoom, canvas_px),), ""
        shapes = self._viewer.layers[self.shapes_combo.currentText()]
        regions, ignored = shape_regions(shapes, image)
        if not regions:
            raise OptionError(
                f"The layer {shapes.name} has no rectangle, ellipse or polygon to count in; draw one first."
            )
        return regions, f"Lines and paths enclose nothing; left out: {ignored}." if ignored else ""

    def stop(self) -> None:
        """Let go of the viewer."""
        for name in ("inserted", "removed", "renamed"):
            getattr(self._viewer.layers.events, name).disconnect(self.refresh)
