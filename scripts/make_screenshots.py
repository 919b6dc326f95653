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
from napari_deepheme.ui.docks import PLUGIN, AllDocks
from napari_deepheme.ui.layers import is_cells
from napari_deepheme.ui.sample import SAMPLE

PATIENCE_MS = 600_000


def main() -> None:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    viewer.window.resize(*options.size)
    viewer.theme = options.theme
    _, docks = viewer.window.add_plugin_dock_widget(PLUGIN, "All docks")
    assert isinstance(docks, AllDocks)
    shoot = Camera(viewer, docks, options.out)
    shoot.tab(docks.classify, "empty")
    viewer.open(options.slide, plugin=PLUGIN)
    if options.model not in embedded_bundles():
        docks.classify.model_box.add(Path(options.model))
    docks.classify.target_spin.setValue(options.cells)
    wait(docks.classify.model_box.card_button.isEnabled)
    shoot.tab(docks.classify, "classify")
    docks.classify.run_button.click()
    wait(lambda: any(is_cells(layer) for layer in viewer.layers) or not docks.classify.is_running)
    shoot.tab(docks.classify, "running")
    wait(lambda: not docks.classify.is_running)
    shoot.tab(docks.classify, "done")
    shoot.tab(docks.summary, "summary")
    docks.summary.review_button.click()
    shoot.tab(docks.review, "review")
    cells = next((layer for layer in viewer.layers if is_cells(layer)), None)
    if cells is not None:
        viewer.scene.camera.center = tuple(cells.data_to_world(cells.data[len(cells.data) // 2]))
        for name, zoom in (("near", 4.0), ("close", 12.0)):
            viewer.scene.camera.zoom = zoom
            shoot.tab(docks.summary, name)
    size = viewer.window.geometry()
    print(f"{docks.classify.status.text()}\nwindow {size}")
    viewer.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slide", default=str(SAMPLE))
    parser.add_argument("--model", default=DEFAULT_BUNDLE, help="embedded name, folder or zip")
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 800), help="of the window, px")
    parser.add_argument("--theme", default="dark")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


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

    def __init__(self, viewer: napari.Viewer, docks: AllDocks, out: Path) -> None:
        self.viewer, self.docks, self.out = viewer, docks, out

    def tab(self, dock: QWidget, name: str) -> None:
        """Bring a tab to the front and take a picture of the window."""
        self.docks.setCurrentWidget(dock)
        QTest.qWait(1000)
        self.viewer.screenshot(str(self.out / f"{name}.png"), canvas_only=False, flash=False)


if __name__ == "__main__":
    main()
