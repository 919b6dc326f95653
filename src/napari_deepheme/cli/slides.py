"""Commands on slides: ``demo``, ``info``, ``classify``, ``synth``."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_deepheme import synth as smear
from napari_deepheme.analyse.analysis import AnalysisOptions
from napari_deepheme.analyse.pipeline import analyse
from napari_deepheme.classify.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from napari_deepheme.cli.printing import (
    print_differential,
    print_error,
    print_facts,
    print_json,
    print_line,
    print_warning,
    with_bar,
)
from napari_deepheme.errors import DeepHemeError, OptionError
from napari_deepheme.export import cells_table, check_folder, differential, write_csv, write_picture
from napari_deepheme.given import read_cells, read_regions
from napari_deepheme.models.device import Device, Precision
from napari_deepheme.sample_data import SAMPLE_SLIDE
from napari_deepheme.slide.reader import Slide, open_slide

DEFAULTS = AnalysisOptions()


class Format(StrEnum):
    """What ``classify`` can write."""

    CSV = "csv"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Mpp = Annotated[
    float | None,
    typer.Option(help="µm per pixel of the slide, in place of what its file says (0.25 at 40×)."),
]


def info(slide: Path, mpp: Mpp = None, as_json: Json = False) -> None:
    """Tell a slide's format, levels, µm/px and associated images."""
    with open_slide(slide, mpp=mpp) as opened:
        facts = _facts(opened)
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


def classify(
    slides: Annotated[list[Path], typer.Argument(help="Slide files or images of fields of view.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if it is not there.")],
    model: Annotated[str, typer.Option(help="Embedded model, or a bundle's folder or zip.")] = DEFAULT_BUNDLE,
    detector: Annotated[
        str, typer.Option(help="What finds cells: an embedded detector, a bundle's folder or zip, or stain.")
    ] = DEFAULTS.detector,
    roi: Annotated[
        Path | None,
        typer.Option(
            help="GeoJSON with the regions to analyse (QuPath); left out, the fields that can be counted."
        ),
    ] = None,
    cells: Annotated[
        Path | None,
        typer.Option(help="CSV or GeoJSON with cells found elsewhere, to classify instead of searching."),
    ] = None,
    mpp: Mpp = None,
    target_cells: Annotated[
        int, typer.Option(help="Stop once this many cells are counted; 0 classifies every cell of the slide.")
    ] = DEFAULTS.target_cells,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = DEFAULTS.device,
    precision: Annotated[
        Precision, typer.Option(help="In what the networks reckon; fp32 is exact, bf16 and fp16 are faster.")
    ] = DEFAULTS.precision,
    match_stain: Annotated[
        bool, typer.Option(help="Show cells to the model in the colours it was trained on.")
    ] = DEFAULTS.match_stain,
    match_prior: Annotated[
        bool, typer.Option(help="Reckon with how often each class occurs on the slide.")
    ] = DEFAULTS.match_prior,
    formats: Annotated[
        str, typer.Option(help=f"Comma-separated, of: {', '.join(Format)}.")
    ] = Format.CSV.value,
    as_json: Json = False,
) -> None:
    """Find and classify nucleated cells; write <slide>.cells.csv and <slide>.differential.csv."""
    _check_formats(formats)
    _check_names(slides)
    _check_one_slide(slides, {"--roi": roi, "--cells": cells})
    options = AnalysisOptions(
        target_cells=target_cells,
        regions=read_regions(roi) if roi else (),
        device=device,
        precision=precision,
        match_stain=match_stain,
        match_prior=match_prior,
        detector=detector,
    )
    bundle = load_bundle(model)
    check_folder(out)
    reports, failed = [], False
    for path in slides:
        try:
            with open_slide(path, mpp=mpp) as slide:
                if cells is not None:
                    options = replace(options, cells=read_cells(cells, slide.info.mpp))
                reports.append(_classify_one(slide, bundle, options, out, show=not as_json))
        except DeepHemeError as err:
            # one unreadable slide does not cost the others
            print_error(err)
            failed = True
    if as_json:
        print_json({"slides": reports})
    if failed:
        raise typer.Exit(2)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output"),
    gui: Annotated[
        bool | None, typer.Option(help="Open napari on the result; left out, if there is a screen.")
    ] = None,
) -> None:
    """Classify the sample slide with the embedded model; write tables and a picture, show them in napari."""
    bundle = load_bundle()
    check_folder(out)
    with open_slide(SAMPLE_SLIDE) as slide:
        analysis = with_bar(analyse(slide, bundle, AnalysisOptions(target_cells=0)))
        cells = cells_table(analysis)
        write_picture(slide, cells, bundle.spec.taxonomy, out / "picture.png")
    count = differential(cells, bundle.spec.taxonomy)
    write_csv(cells, out / "cells.csv")
    write_csv(count.table(), out / "differential.csv")
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
    check_folder(out.absolute().parent)
    spec = smear.SmearSpec(shape=size, n_cells=cells, seed=seed, mpp=mpp, clustered=clustered)
    truth = with_bar(smear.write_smear(out, spec))
    print_line(f"wrote {out} with {len(truth)} nucleated cells")


def _classify_one(
    slide: Slide, bundle: Bundle, options: AnalysisOptions, out: Path, *, show: bool
) -> dict[str, object]:
    """Classify one slide, write its tables, and give its entry of the JSON report."""
    start = time.perf_counter()
    analysis = with_bar(analyse(slide, bundle, options))
    cells = cells_table(analysis)
    count = differential(cells, bundle.spec.taxonomy)
    stem = slide.info.path.stem
    tables = {out / f"{stem}.cells.csv": cells, out / f"{stem}.differential.csv": count.table()}
    for path, table in tables.items():
        write_csv(table, path)
    for warning in analysis.warnings:
        print_warning(f"{slide.info.path.name}: {warning}")
    if show:
        print_differential(count, f"{slide.info.path.name}, model {bundle.spec.name}")
        for path in tables:
            print_line(f"wrote {path}")
    return {
        "slide": str(slide.info.path),
        "analysis": None,
        "files": [str(path) for path in tables],
        "cells": count.n_cells,
        "counted": count.n_counted,
        "needs_review": int(cells["needs_review"].sum()),
        "mpp": sum(slide.scale()) / 2,
        "detector": analysis.detector,
        "regions": [region.name for region in analysis.regions],
        "stain_matched": analysis.stain_matched,
        "class_mixture": analysis.mixture
        and dict(zip(bundle.spec.taxonomy.codes, analysis.mixture, strict=True)),
        "seconds": round(time.perf_counter() - start, 2),
        "warnings": list(analysis.warnings),
    }


def _facts(slide: Slide) -> dict[str, object]:
    facts = slide.info
    return {
        "format": facts.format,
        "vendor": facts.vendor,
        "width": facts.shape[1],
        "height": facts.shape[0],
        "levels": [
            {"width": level.shape[1], "height": level.shape[0], "downsample": sum(level.downsample) / 2}
            for level in facts.levels
        ],
        "mpp": None if facts.mpp is None else sum(facts.mpp) / 2,
        "mpp_source": facts.mpp_source,
        "associated": list(facts.associated),
        "warnings": list(facts.warnings),
    }


def _check_formats(formats: str) -> None:
    unknown = sorted(set(formats.split(",")) - set(Format))
    if unknown:
        raise OptionError(f"--formats: {', '.join(unknown)} is not known; give {', '.join(Format)}.")


def _check_one_slide(slides: list[Path], given: dict[str, Path | None]) -> None:
    for option, path in given.items():
        if path is not None and len(slides) > 1:
            raise OptionError(
                f"{option} {path} belongs to one slide, {len(slides)} were named; name that slide."
            )


def _check_names(slides: list[Path]) -> None:
    twice = [stem for stem, n in Counter(path.stem for path in slides).items() if n > 1]
    if twice:
        raise OptionError(
            f"Several slides are called {', '.join(twice)} and would overwrite each other's results; "
            "classify them into different folders."
        )


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
