"""Memory of a 40,000 × 40,000 px slide: open it, show it, classify a region.

python -m benchmarks.large_slide [--window] [FILE]

FILE is rendered if it is not there (minutes). ``--window`` does it in napari, through the dock, and needs a
screen: scripts/with_screen.sh python -m benchmarks.large_slide --window
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from napari_deepheme import AnalysisOptions, analyse, drain, load_bundle, open_slide
from napari_deepheme.cells import Region

REGION = (18000, 18000, 22000, 22000)  # top, left, bottom, right
PLUGIN = "napari-deepheme"


def report(stage: str) -> None:
    print(f"{stage}: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=Path("large.svs"))
    parser.add_argument("--window", action="store_true")
    options = parser.parse_args()
    if not options.file.exists():
        render(options.file)
    report("python and the package alone")
    in_window(options.file) if options.window else without_window(options.file)


def render(path: Path) -> None:
    synth = ["synth", "--out", str(path), "--size", "40000", "40000", "--cells", "6000", "--seed", "1"]
    subprocess.run([sys.executable, "-m", "napari_deepheme", *synth], check=True)


def without_window(path: Path) -> None:
    with open_slide(path) as slide:
        for level in slide.pyramid():
            middle = tuple(slice(max(0, n // 2 - 1000), n // 2 + 1000) for n in level.shape[:2])
            np.asarray(level[middle])
        report("opened, a screen of every level looked at")
        region = Region.box("region", *REGION)
        options = AnalysisOptions(target_cells=0, regions=(region,))
        analysis = drain(analyse(slide, load_bundle(), options))
        report(f"classified {len(analysis.cells)} cells of a region")


def in_window(path: Path) -> None:
    import napari  # noqa: PLC0415  needs a screen
    from qtpy.QtTest import QTest  # noqa: PLC0415

    viewer = napari.Viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Classify cells")
    QTest.qWait(2000)
    report("an empty window with the dock")
    viewer.open(path, plugin=PLUGIN)
    (image,) = viewer.layers
    QTest.qWait(3000)
    report("the whole slide shown")
    top, left, bottom, right = REGION
    viewer.scene.camera.center = image.data_to_world(((top + bottom) / 2, (left + right) / 2))
    for _ in range(8):
        viewer.scene.camera.zoom *= 2
        QTest.qWait(1500)
    report("zoomed into the middle")
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    viewer.add_shapes([corners], shape_type="rectangle", scale=image.scale, units=image.units)
    dock.where_box.radios["shapes"].click()
    dock.target_spin.setValue(0)
    dock.run_button.click()
    while dock.is_running:
        QTest.qWait(100)
    report(f"classified a region ({dock.status.text()})")
    viewer.close()


if __name__ == "__main__":
    main()
