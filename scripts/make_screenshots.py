"""Pictures of the window, to be looked at; the documentation shows two of the sample (done, near).

Run it on a virtual screen, for example

    xvfb-run -a -s "-screen 0 1280x800x24" python scripts/make_screenshots.py --out /tmp/pictures
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_deepheme.classify.bundle import DEFAULT_BUNDLE
from napari_deepheme.models.bundle import embedded_bundles
from napari_deepheme.ui.classify_dock import ClassifyDock
from napari_deepheme.ui.layers import is_cells
from napari_deepheme.ui.sample import SAMPLE
from napari_deepheme.ui.summary_dock import SummaryDock

PLUGIN = "napari-deepheme"
PATIENCE_MS = 600_000


def main() -> None:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    viewer.window.resize(1280, 800)
    classify = add_dock(viewer, "Classify cells", ClassifyDock)
    summary = add_dock(viewer, "Summary", SummaryDock, tabify=True)
    shoot = Camera(viewer, options.out)
    shoot.dock(classify, "empty")
    viewer.open(options.slide, plugin=PLUGIN)
    if options.model not in embedded_bundles():
        classify.model_box.add(Path(options.model))
    classify.target_spin.setValue(options.cells)
    wait(classify.model_box.card_button.isEnabled)
    shoot.dock(classify, "classify")
    classify.run_button.click()
    wait(lambda: any(is_cells(layer) for layer in viewer.layers) or not classify.is_running)
    QTest.qWait(1500)
    shoot.dock(classify, "running")
    wait(lambda: not classify.is_running)
    shoot.dock(classify, "done")
    shoot.dock(summary, "summary")
    cells = next((layer for layer in viewer.layers if is_cells(layer)), None)
    if cells is not None:
        viewer.scene.camera.center = tuple(cells.data_to_world(cells.data[len(cells.data) // 2]))
        for name, zoom in (("near", 4.0), ("close", 12.0)):
            viewer.scene.camera.zoom = zoom
            shoot.dock(summary, name)
    print(classify.status.text())
    viewer.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slide", default=str(SAMPLE))
    parser.add_argument("--model", default=DEFAULT_BUNDLE, help="embedded name, folder or zip")
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def add_dock(viewer: napari.Viewer, name: str, kind: type[QWidget], *, tabify: bool = False) -> QWidget:
    """Open one of our docks as the menu does."""
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=tabify)
    assert isinstance(dock, kind)
    return dock


def wait(condition: Callable[[], bool]) -> None:
    """Let the window work until something is so."""
    late = QTimer()
    late.setSingleShot(True)
    late.start(PATIENCE_MS)
    while not condition():
        if not late.isActive():
            raise TimeoutError
        QTest.qWait(50)


class Camera:
    """Takes numbered pictures of a window."""

    def __init__(self, viewer: napari.Viewer, out: Path) -> None:
        self.viewer, self.out = viewer, out

    def dock(self, dock: QWidget, name: str) -> None:
        """Bring a dock to the front and take a picture of the window."""
        QTest.qWait(300)
        dock.parentWidget().raise_()
        QTest.qWait(700)
        self.viewer.screenshot(str(self.out / f"{name}.png"), canvas_only=False, flash=False)


if __name__ == "__main__":
    main()
