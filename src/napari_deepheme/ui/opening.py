"""Earlier analyses of a slide, opened again from the dock."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from napari.layers import Image
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu, QPushButton

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.store import SUFFIX, analyses_of, analysis_folder, open_analysis
from napari_deepheme.ui.cells_view import CellsView
from napari_deepheme.ui.fields_layer import show_fields
from napari_deepheme.ui.layers import moved_to
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.slides import slide_path
from napari_deepheme.ui.widgets import tip

_TIP = "Open an earlier analysis of this slide again, with its corrections."
_NONE = "There is none of this slide yet."


def earlier_analyses(image: Image | None) -> list[Path]:
    """Analysis files of a slide, the newest first."""
    path = slide_path(image) if image is not None else None
    return analyses_of(path, analysis_folder(path)) if path is not None else []


def open_earlier(view: CellsView, image: Image, path: Path) -> None:
    """Open an analysis of a slide that is in the viewer, or bring it to the front.

    Raises
    ------
    AnalysisFileError
        The file is damaged, or of a newer version.
    """
    state = view.state
    for session in state.sessions:
        if session.file is not None and session.file.path == path:
            state.open(session)
            return
    file = open_analysis(path, write=True)
    slide = slide_path(image)
    analysis = file.analysis() if slide is None else moved_to(file.analysis(), slide)
    session = Session.of_analysis(analysis, f"{path.name.removesuffix(SUFFIX)} cells", file)
    if session.file is None:
        file.close()  # it can only be read: what is corrected stays in memory
    state.open(session)
    if analysis.facts.fields:
        taken = {region.name for region in analysis.regions}
        show_fields(state.viewer, image, analysis.facts.fields, taken)


class EarlierButton(QPushButton):
    """“Earlier”, with a menu of the analyses of the slide in hand.

    Signals
    -------
    failed : str
        What went wrong, one sentence.
    """

    failed = Signal(str)

    def __init__(self, view: CellsView) -> None:
        super().__init__("Earl&ier")
        self._view, self._image = view, view.state.slide
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill)
        self.setMenu(self._menu)
        self.follow(self._image)

    def follow(self, image: Image | None) -> None:
        """Offer the analyses of this slide from now on."""
        self._image = image
        some = bool(earlier_analyses(image))
        self.setEnabled(some)
        tip(self, _TIP if some else f"{_NONE} {_TIP}")

    def _fill(self) -> None:
        self._menu.clear()
        for path in earlier_analyses(self._image):
            when = datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone()
            action = QAction(f"{path.name} · {when:%Y-%m-%d %H:%M}", self._menu)
            self._menu.addAction(action)
            action.triggered.connect(lambda _=False, chosen=path: self._open(chosen))

    def _open(self, path: Path) -> None:
        if self._image is None:
            return
        try:
            open_earlier(self._view, self._image, path)
        except DeepHemeError as err:
            self.failed.emit(str(err))
