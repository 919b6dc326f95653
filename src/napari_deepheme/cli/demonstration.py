"""The commands ``demo`` and ``synth``: what needs no slide of one's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_deepheme.cli.printing import print_differential, print_line, with_bar


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output"),
    gui: Annotated[
        bool | None, typer.Option(help="Open napari on the result; left out, if there is a screen.")
    ] = None,
) -> None:
    """Classify the sample slide with the embedded model; write tables and a picture, show them in napari."""
    from napari_deepheme import export  # noqa: PLC0415  seconds that help texts need not wait for
    from napari_deepheme.analysis.options import AnalysisOptions  # noqa: PLC0415
    from napari_deepheme.analysis.run import analyse  # noqa: PLC0415
    from napari_deepheme.classify.bundle import load_bundle  # noqa: PLC0415
    from napari_deepheme.sample_data import SAMPLE_SLIDE  # noqa: PLC0415
    from napari_deepheme.slide.reader import open_slide  # noqa: PLC0415

    bundle = load_bundle()
    export.check_folder(out)
    with open_slide(SAMPLE_SLIDE) as slide:
        analysis = with_bar(analyse(slide, bundle, AnalysisOptions(target_cells=0)))
        cells = export.cells_table(analysis)
        export.write_picture(slide, cells, bundle.spec.taxonomy, out / "picture.png")
    count = export.differential(cells, bundle.spec.taxonomy)
    export.write_csv(cells, out / "cells.csv")
    export.write_csv(count.table(), out / "differential.csv")
    print_differential(count, f"{SAMPLE_SLIDE.name}, model {bundle.spec.name}")
    for name in ("cells.csv", "differential.csv", "picture.png"):
        print_line(f"wrote {out / name}")
    if _has_screen() if gui is None else gui:
        _show_in_napari(SAMPLE_SLIDE, out / "cells.csv")


def synth(
    out: Annotated[
        Path, typer.Option(help="TIFF to write (.tif, .svs); its truth goes to <name>.truth.csv.")
    ],
    size: Annotated[tuple[int, int], typer.Option(help="Height and width, px.")],
    cells: Annotated[int, typer.Option(help="Nucleated cells.")],
    seed: Annotated[int, typer.Option(help="The same seed renders the same smear.")] = 0,
    mpp: Annotated[float, typer.Option(help="µm per pixel.")] = 0.25,
    clustered: Annotated[
        float, typer.Option(help="Share of the cells that lie in clusters, touching and overlapping.")
    ] = 0.0,
) -> None:
    """Render a blood smear with known truth."""
    from napari_deepheme import synth as smear  # noqa: PLC0415  seconds that help texts need not wait for
    from napari_deepheme.export.files import check_folder  # noqa: PLC0415

    check_folder(out.absolute().parent)
    spec = smear.SmearSpec(shape=size, n_cells=cells, seed=seed, mpp=mpp, clustered=clustered)
    truth = with_bar(smear.write_smear(out, spec))
    print_line(f"wrote {out} with {len(truth)} nucleated cells")


def _has_screen() -> bool:
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _show_in_napari(slide: Path, cells: Path) -> None:
    """Open the slide with its classified cells and the docks."""
    import napari  # noqa: PLC0415  needed only with a screen, takes seconds
    from qtpy.QtCore import QTimer  # noqa: PLC0415

    viewer = napari.Viewer()
    for dock in ("Classify cells", "Summary"):
        viewer.window.add_plugin_dock_widget("napari-deepheme", dock, tabify=True)
    viewer.open(str(slide), plugin="napari-deepheme")
    viewer.open(str(cells), plugin="napari-deepheme")
    # the docks have taken their room only once the window is drawn
    QTimer.singleShot(0, viewer.reset_view)
    napari.run()
