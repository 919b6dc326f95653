"""The part of the dock that says which part of the slide to analyse."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from napari.layers import Image, Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QRadioButton, QWidget

from napari_deepheme.cells import Region
from napari_deepheme.errors import OptionError
from napari_deepheme.ui.drawn import image_shape, shape_regions, view_region
from napari_deepheme.ui.fields_box import FieldsBox
from napari_deepheme.ui.layer_combo import LayerCombo
from napari_deepheme.ui.napari_versions import camera_of, view_px
from napari_deepheme.ui.slides import is_fields
from napari_deepheme.ui.widgets import button, tip

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Where(StrEnum):
    """Which part of a slide is analysed."""

    COUNTABLE = "countable regions"
    VIEW = "current view"
    SHAPES = "shapes"
    SLIDE = "whole slide"


_TIPS = {
    Where.COUNTABLE: "Where the smear can be counted: thin, stained, in focus and rich in nucleated cells. "
    "Such fields are taken from all over the smear until there are cells enough; they are shown on the slide "
    "afterwards, with what was left and why.",
    Where.VIEW: "Only what is in view now: quick to try on one field.",
    Where.SHAPES: "Only inside the rectangles, ellipses and polygons of a shapes layer: the selected ones, "
    "or all when none is selected; of a layer of fields, those in use. For choosing yourself what to count.",
    Where.SLIDE: "Fields all over the slide in a fixed random order, countable or not.",
}
_SHOW_TIP = (
    "Judge the slide's fields now: show which can be counted, and why others cannot, so that you can add, "
    "drop or draw fields before you count in them."
)
_NO_SHAPES = "Add a shapes layer and draw on it, or press “Show”, first."


class WhereBox(QWidget):
    """Chooses the countable regions, the current view, drawn shapes or the whole slide.

    Parameters
    ----------
    viewer : ViewerModel
    show_fields : callable
        Judges the slide's fields and shows them.
    """

    def __init__(self, viewer: ViewerModel, show_fields: Callable[[], object]) -> None:
        super().__init__()
        self._viewer = viewer
        self.radios = {where: tip(QRadioButton(where.value), text) for where, text in _TIPS.items()}
        self.radios[Where.COUNTABLE].setChecked(True)
        self.show_button = button("Show", _SHOW_TIP, show_fields)
        self.shapes_combo = LayerCombo(
            viewer, lambda layer: isinstance(layer, Shapes), none="no shapes layer"
        )
        self.fields_box = FieldsBox(viewer)
        self.setFocusProxy(self.radios[Where.COUNTABLE])
        self._lay_out()
        self.shapes_combo.changed.connect(self._on_shapes)
        self.fields_box.edited.connect(self._count_in_shapes)
        self._on_shapes()

    @property
    def chosen(self) -> Where:
        """What is ticked."""
        return next(where for where, radio in self.radios.items() if radio.isChecked())

    def regions(self, image: Image) -> tuple[tuple[Region, ...], str]:
        """Regions on a slide, none meaning the countable ones, and a remark worth showing or nothing.

        Raises
        ------
        OptionError
            Nothing of the slide is in view, or no shape encloses anything.
        """
        if self.chosen is Where.COUNTABLE:
            return (), ""
        if self.chosen is Where.SLIDE:
            height, width = image_shape(image)
            return (Region.box("slide", -0.5, -0.5, height - 0.5, width - 0.5),), ""
        if self.chosen is Where.VIEW:
            camera = camera_of(self._viewer)
            return (view_region(image, camera.center, camera.zoom, view_px(self._viewer)),), ""
        return self._shape_regions(image)

    def count_in(self, layer: Shapes) -> None:
        """Choose a shapes layer and tick “shapes”."""
        self.shapes_combo.choose(layer)
        self._count_in_shapes()

    def allow_show(self, why_not: str) -> None:
        """Say whether the fields can be shown now, or why not."""
        self.show_button.setEnabled(not why_not)
        tip(self.show_button, f"{why_not} {_SHOW_TIP}".strip())

    def stop(self) -> None:
        """Let go of the viewer."""
        self.shapes_combo.stop()
        self.fields_box.stop()

    def _shape_regions(self, image: Image) -> tuple[tuple[Region, ...], str]:
        shapes = self._shapes
        regions, ignored = shape_regions(shapes, image)
        if regions:
            return regions, f"Lines and paths enclose nothing; left out: {ignored}." if ignored else ""
        if is_fields(shapes):
            raise OptionError(
                f"No field of the layer {shapes.name} is used; select some and press “Use selected”."
            )
        raise OptionError(
            f"The layer {shapes.name} has no rectangle, ellipse or polygon to count in; draw one first."
        )

    @property
    def _shapes(self) -> Shapes:
        """The chosen shapes layer, when there is one."""
        return self.shapes_combo.layer

    def _count_in_shapes(self) -> None:
        self.radios[Where.SHAPES].setChecked(True)

    def _on_shapes(self) -> None:
        """Follow the choice among the shapes layers."""
        some = self.shapes_combo.has_layers
        self.shapes_combo.setEnabled(some)
        self.radios[Where.SHAPES].setEnabled(some)
        for each, text in (
            (self.radios[Where.SHAPES], _TIPS[Where.SHAPES]),
            (self.shapes_combo, "The shapes layer to take the outlines from."),
        ):
            tip(each, text if some else f"{_NO_SHAPES} {text}")
        if not some and self.chosen is Where.SHAPES:
            self.radios[Where.COUNTABLE].setChecked(True)
        self.fields_box.follow(self._shapes if some else None)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.radios[Where.COUNTABLE], 0, 0)
        grid.addWidget(self.show_button, 0, 1, Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(self.radios[Where.VIEW], 1, 0)
        grid.addWidget(self.radios[Where.SLIDE], 1, 1)
        grid.addWidget(self.radios[Where.SHAPES], 2, 0)
        grid.addWidget(self.shapes_combo, 2, 1)
        grid.addWidget(self.fields_box, 3, 0, 1, 2)
        grid.setColumnStretch(1, 1)
