"""The surroundings of a cell, larger, beside its thumbnail."""

from __future__ import annotations

from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QGuiApplication, QPixmap
from qtpy.QtWidgets import QLabel, QWidget

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.ui.review.crops import CONTEXT, CROP_PX, Crop, CropRequest
from napari_deepheme.ui.review.tiles import image_of

_SIDE = CONTEXT * CROP_PX
_GAP = 8


class Preview(QLabel):
    """A small window without a frame, to the left of a thumbnail; it takes neither focus nor mouse."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.ToolTip)
        self._request: CropRequest | None = None
        self.setFixedSize(_SIDE, _SIDE)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWordWrap(True)
        self.setAccessibleName("Surroundings of the cell")

    def show_for(self, request: CropRequest, beside: QPoint) -> None:
        """Open beside a point of the screen and wait for the picture."""
        self._request = request
        self.setText("…")
        on = self.screen() or QGuiApplication.primaryScreen()
        screen = on.availableGeometry() if on is not None else QRect(0, 0, 2 * _SIDE, 2 * _SIDE)
        left = beside.x() - _SIDE - _GAP
        top = min(max(beside.y(), screen.top()), screen.bottom() - _SIDE)
        self.move(left if left >= screen.left() else beside.x() + CROP_PX + _GAP, top)
        self.show()

    def take(self, request: CropRequest, crop: Crop | None) -> None:
        """Show a picture, if it is the one waited for."""
        if request != self._request or crop is None:
            return
        if isinstance(crop, DeepHemeError):
            self.setText(str(crop))
        else:
            self.setPixmap(QPixmap.fromImage(image_of(crop)))
