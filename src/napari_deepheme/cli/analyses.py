"""Commands on analysis files: ``differential`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_deepheme.cli.printing import print_differential, print_json, print_line
from napari_deepheme.cli.slides import ASSESSMENT, DetectionThreshold, Json, MatchPrior
from napari_deepheme.stats.assessment import AssessmentOptions

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
        list[Path], typer.Option(help="File to write: .csv, .geojson, .geojson.gz (QuPath) or .parquet.")
    ],
    detection_threshold: DetectionThreshold = ASSESSMENT.detection_threshold,
    match_prior: MatchPrior = ASSESSMENT.match_prior,
) -> None:
    """Write the cells of an analysis, with what people corrected."""
    from napari_deepheme.export.formats import export_cells, format_of  # noqa: PLC0415
    from napari_deepheme.store import open_analysis  # noqa: PLC0415

    for path in to:
        format_of(path)  # a wrong name is said before anything is written
    with open_analysis(analysis) as file:
        opened = file.analysis()
    for path in to:
        export_cells(opened, path, AssessmentOptions(detection_threshold, match_prior=match_prior))
        print_line(f"wrote {path}")
