"""The button that writes the analysis in hand in the formats of other programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari.utils.notifications import show_error, show_info
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.export import Format, export_cells, write_csv
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.widgets import tip

_TIP = "Write the cells, with your corrections, or the differential."
_NOTHING_YET = "Classify cells first."


@dataclass(frozen=True, slots=True)
class _Export:
    """One entry of the menu."""

    title: str
    ending: str
    tooltip: str
    needs_analysis: bool = False


_EXPORTS = (
    _Export("Cells as &CSV…", f"cells.{Format.CSV}", "One line per cell; opens again in napari."),
    _Export("Cells as &GeoJSON…", f"cells.{Format.GEOJSON}", "Detections for QuPath.", needs_analysis=True),
    _Export("Cells as &Parquet…", f"cells.{Format.PARQUET}", "For data frames.", needs_analysis=True),
    _Export("&Differential as CSV…", "differential.csv", "One line per class: count, share, interval."),
)


class ExportMenu(QPushButton):
    """“Export”, with a menu of what can be written.

    Parameters
    ----------
    state : ViewerState
    before : callable
        Called before anything is written, to take in what is not known yet.
    """

    def __init__(self, state: ViewerState, before: Callable[[], None]) -> None:
        super().__init__("&Export")
        self._state, self._before = state, before
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.entries = {each: QAction(each.title, menu) for each in _EXPORTS}
        for each, action in self.entries.items():
            menu.addAction(action)
            action.setToolTip(each.tooltip)
            action.triggered.connect(lambda _=False, what=each: self._ask(what))
        self.setMenu(menu)
        self.refresh()

    def refresh(self) -> None:
        """Offer what can be written now."""
        session = self._state.session
        self.setEnabled(session is not None)
        tip(self, _TIP if session is not None else f"{_NOTHING_YET} {_TIP}")
        for each, action in self.entries.items():
            possible = session is not None and (session.analysis is not None or not each.needs_analysis)
            action.setEnabled(possible)

    def write(self, path: Path) -> None:
        """Write what the file's name asks for.

        Raises
        ------
        OutputError, OptionError
            The file cannot be written, or its name asks for nothing known.
        """
        self._before()
        session = self._state.session
        if session is None:
            return
        if path.name.endswith("differential.csv"):
            write_csv(session.differential.table(), path)
        else:
            _write_cells(session, path)

    def _ask(self, what: _Export) -> None:
        session = self._state.session
        if session is None:
            return
        kind, slide = what.ending.split(".", 1)[1], session.slide
        folder = slide.parent if isinstance(slide, Path) else Path.home()
        proposal = str(folder / f"{slide.stem}.{what.ending}")
        chosen, _ = QFileDialog.getSaveFileName(self, what.title.strip("…&"), proposal, f"*.{kind}")
        if not chosen:
            return
        path = Path(chosen)
        path = path if path.name.lower().endswith(kind) else path.with_name(f"{path.name}.{kind}")
        try:
            if what.ending == "differential.csv":
                self._before()
                write_csv(session.differential.table(), path)
            else:
                self.write(path)
        except DeepHemeError as err:
            show_error(str(err))
        else:
            show_info(f"Written: {path}")


def _write_cells(session: Session, path: Path) -> None:
    analysis = session.analysis
    if analysis is not None:
        export_cells(analysis, path, session.options)
    else:
        write_csv(session.table, path)
