"""Commands on analysis files: ``differential`` and ``export``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepheme.cli.printing import print_differential, print_json, print_line, print_warning
from napari_deepheme.cli.slides import ASSESSMENT, DetectionThreshold, Json, MatchPrior
from napari_deepheme.errors import DeepHemeError
from napari_deepheme.stats.assessment import AssessmentOptions

if TYPE_CHECKING:
    from napari_deepheme.analysis.result import Analysis

_REPORTS = (".html", ".pdf")

AnalysisPath = Annotated[
    Path, typer.Argument(metavar="ANALYSIS", help="An analysis file, <slide>.deepheme.db.")
]


def differential(
    analysis: AnalysisPath,
    detection_threshold: DetectionThreshold = ASSESSMENT.detection_threshold,
    match_prior: MatchPrior = ASSESSMENT.match_prior,
    as_json: Json = False,
) -> None:
    """Print the differential of an analysis, with what people corrected."""
    from napari_deepheme.export.table import differential_of  # noqa: PLC0415  commands share no imports
    from napari_deepheme.store import open_analysis  # noqa: PLC0415

    with open_analysis(analysis) as file:
        opened = file.analysis()
    count = differential_of(opened, AssessmentOptions(detection_threshold, match_prior=match_prior))
    if as_json:
        print_json(count.to_json())
    else:
        print_differential(count, f"{opened.facts.slide.path.name}, model {opened.facts.bundle.name}")


def export(
    analysis: AnalysisPath,
    to: Annotated[
        list[Path],
        typer.Option(
            help="File to write: .csv, .geojson, .geojson.gz (QuPath), .parquet, or a report, .html or .pdf."
        ),
    ],
    detection_threshold: DetectionThreshold = ASSESSMENT.detection_threshold,
    match_prior: MatchPrior = ASSESSMENT.match_prior,
) -> None:
    """Write the cells of an analysis, with what people corrected, or its report."""
    from napari_deepheme.export.formats import export_cells, format_of  # noqa: PLC0415
    from napari_deepheme.store import open_analysis  # noqa: PLC0415

    for path in to:
        if path.suffix.lower() not in _REPORTS:
            format_of(path, also=_REPORTS)  # a wrong name is said before anything is written
    with open_analysis(analysis) as file:
        opened = file.analysis()
    options = AssessmentOptions(detection_threshold, match_prior=match_prior)
    for path in to:
        if path.suffix.lower() in _REPORTS:
            _write_report(opened, options, path)
        else:
            export_cells(opened, path, options)
        print_line(f"wrote {path}")


def _write_report(analysis: Analysis, options: AssessmentOptions, path: Path) -> None:
    from napari_deepheme.classify.bundle import calibration_cells, load_bundle  # noqa: PLC0415
    from napari_deepheme.models.bundle import embedded_bundles  # noqa: PLC0415
    from napari_deepheme.report import write_slide_report  # noqa: PLC0415  matplotlib takes a second
    from napari_deepheme.report.analysis import slide_report  # noqa: PLC0415
    from napari_deepheme.slide.reader import open_slide  # noqa: PLC0415

    facts = analysis.facts
    chosen = replace(analysis, facts=replace(facts, options=replace(facts.options, assessment=options)))
    bundle = load_bundle(facts.bundle.name) if facts.bundle.name in embedded_bundles() else None
    if bundle is not None and bundle.spec != facts.bundle:
        bundle = None  # another version: its calibration cells are others
    cells, card = (None, "") if bundle is None else (calibration_cells(bundle), bundle.card)
    with ExitStack() as stack:
        slide = None
        try:
            slide = stack.enter_context(
                open_slide(facts.slide.path, mpp=facts.slide.mpp and facts.slide.mpp[0])
            )
        except DeepHemeError as err:
            print_warning(f"The report has no pictures of the slide: {err}")
        write_slide_report(slide_report(chosen, slide, cells, card), path)
