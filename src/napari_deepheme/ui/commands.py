"""Commands for napari's menus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.ui.reader import SUFFIXES

if TYPE_CHECKING:
    from napari.components import ViewerModel

PLUGIN = "napari-deepheme"


def ask_and_open_slide() -> None:
    """Ask for a slide and open it in the current viewer."""
    viewer = napari.current_viewer()
    if viewer is None:
        return
    try:
        ask_for_slide(viewer, None)
    except DeepHemeError as err:
        show_error(str(err))


def ask_for_slide(viewer: ViewerModel, parent: QWidget | None) -> None:
    """Ask for a slide and open it lazily; napari's own readers would load a slide whole.

    Raises
    ------
    DeepHemeError
        The file cannot be opened; the message says why.
    """
    patterns = " ".join(f"*{suffix}" for suffix in SUFFIXES)
    paths, _ = QFileDialog.getOpenFileNames(parent, "Open slide", "", f"Slides ({patterns})")
    for path in paths:
        viewer.open(path, plugin=PLUGIN)
