"""The button that writes the analysis in hand in the formats of other programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.utils import progress as activity
from napari.utils.notifications import show_error, show_info
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_deepheme.errors import DeepHemeError, OutputError
from napari_deepheme.jobs import Progress, drain
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.ui.exports import Export, export_job
from napari_deepheme.ui.napari_versions import still_activity
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.widgets import tip
from napari_deepheme.ui.worker import JobRun

_TIP = "Write the cells, with your corrections, the differential, a report, or a picture."
_NOTHING_YET = "Classify cells first."
_STEPS = 100


class ExportMenu(QPushButton):
    """“Export”, with a menu of what can be written; it is written on a thread.

    Parameters
    ----------
    state : ViewerState
    before : callable
        Called before anything is written, to take in what is not known yet.
    """

    def __init__(self, state: ViewerState, before: Callable[[], None]) -> None:
        super().__init__("&Export")
        self._state, self._before = state, before
        self._runs: list[JobRun] = []
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.entries = {each: QAction(each.value.title, menu) for each in Export}
        for each, action in self.entries.items():
            menu.addAction(action)
            action.setToolTip(each.value.tooltip)
            action.triggered.connect(lambda _=False, what=each: self._ask(what))
        self.setMenu(menu)
        self.refresh()

    @property
    def is_writing(self) -> bool:
        """Whether something is being written."""
        return bool(self._runs)

    def refresh(self) -> None:
        """Offer what can be written now."""
        session = self._state.session
        self.setEnabled(session is not None)
        tip(self, _TIP if session is not None else f"{_NOTHING_YET} {_TIP}")
        is_analysis = session is not None and session.analysis is not None
        for each, action in self.entries.items():
            action.setEnabled(session is not None and (is_analysis or not each.value.needs_analysis))

    def write(self, what: Export, path: Path) -> None:
        """Write it now.

        Raises
        ------
        DeepHemeError
            It cannot be written.
        """
        self._before()
        session = self._state.session
        if session is None:
            return
        if what is Export.PICTURE:
            self._write_picture(path)
        else:
            drain(export_job(session, what, path))

    def release(self) -> None:
        """Stop what is being written; what is not whole is not left."""
        for run in self._runs:
            run.cancel()
        self._runs.clear()

    def _ask(self, what: Export) -> None:
        session = self._state.session
        path = None if session is None else self._path(what, session.slide)
        if path is None:
            return
        try:
            if what is Export.PICTURE:
                self.write(what, path)
                show_info(f"Written: {path}")
            else:
                self._start(what, path)
        except DeepHemeError as err:
            show_error(str(err))

    def _path(self, what: Export, slide: SlidePath) -> Path | None:
        kind, folder = what.value, slide.parent if isinstance(slide, Path) else Path.home()
        title = kind.title.replace("&", "").strip("…")
        if not kind.ending:
            chosen = QFileDialog.getExistingDirectory(self, title, str(folder))
            return Path(chosen) if chosen else None
        ending = kind.ending.split(".", 1)[1]
        proposal = str(folder / f"{slide.stem}.{kind.ending}")
        chosen, _ = QFileDialog.getSaveFileName(self, title, proposal, f"*.{ending}")
        path = Path(chosen)
        named = path.name.lower().endswith(ending)
        return (path if named else path.with_name(f"{path.name}.{ending}")) if chosen else None

    def _start(self, what: Export, path: Path) -> None:
        self._before()
        session = self._state.session
        if session is None:
            return
        run = JobRun(export_job(session, what, path), self)
        bar: Any = activity(total=_STEPS, desc=f"Writing {path.name}")
        still_activity(self._state.viewer)
        run.progressed.connect(lambda progress: _show(bar, progress))
        run.succeeded.connect(lambda remark: show_info(" ".join(filter(None, [f"Written: {path}", remark]))))
        run.failed.connect(lambda err: show_error(str(err)))
        run.ended.connect(lambda: self._end(run, bar))
        self._runs.append(run)
        run.start()

    def _end(self, run: JobRun, bar: Any) -> None:  # noqa: ANN401 - napari's
        bar.close()
        if run in self._runs:
            self._runs.remove(run)

    def _write_picture(self, path: Path) -> None:
        display = self._state.display
        self._state.display = replace(display, legend=True)
        try:
            self._state.viewer.screenshot(str(path), canvas_only=True, flash=False)
        except OSError as err:
            why = err.strerror or err
            raise OutputError(f"{path} cannot be written ({why}); choose another place.") from err
        finally:
            self._state.display = display


def _show(bar: Any, progress: Progress) -> None:  # noqa: ANN401
    if progress.total:
        bar.n = _STEPS * progress.done // progress.total
        bar.refresh()
