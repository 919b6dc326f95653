"""Commands on analysis files: ``differential`` and ``export``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepheme.cli.counted import differential_of_table
from napari_deepheme.cli.facts import is_analysis
from napari_deepheme.cli.printing import print_differential, print_json, print_line, print_warning
from napari_deepheme.cli.slides import Json
from napari_deepheme.errors import OptionError
from napari_deepheme.stats.rules import counting_rule

if TYPE_CHECKING:
    from napari_deepheme.analysis.result import Analysis
    from napari_deepheme.export.reliability import Reliability
    from napari_deepheme.stats.assessment import AssessmentOptions
    from napari_deepheme.stats.counting import CountOptions
    from napari_deepheme.stats.differential import Differential
    from napari_deepheme.taxonomy.own_colours import Palette

_REPORTS = (".html", ".pdf")

CountedPath = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="An analysis file, <slide>.deepheme.db; or a table: cells.csv, or predictions with a column of "
        "probabilities for each class.",
    ),
]
AnalysisPath = Annotated[
    Path, typer.Argument(metavar="ANALYSIS", help="An analysis file, <slide>.deepheme.db.")
]
DetectionThreshold = Annotated[
    float | None,
    typer.Option(
        help="Detector score from which a find counts as a cell, 0 to 1; left out, the one the analysis was "
        "last looked at with."
    ),
]
MatchPrior = Annotated[
    bool | None,
    typer.Option(
        "--match-prior/--no-match-prior",
        help="Use the class prior of the slide in calls, or the one of training; left out, as analysed.",
    ),
]


def differential(
    file: CountedPath,
    detection_threshold: DetectionThreshold = None,
    match_prior: MatchPrior = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="Counting rule: icsh, deepheme, or a TOML file of your own; left out, the one kept with the "
            "analysis."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS:POINTS",
            help="Say how many more cells to count until this class is known to ± so many points.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the differential of an analysis, with what people corrected, or of a table of cells."""
    from napari_deepheme.stats.counting import CountOptions  # noqa: PLC0415  commands share no imports
    from napari_deepheme.stats.planning import stop_rule  # noqa: PLC0415

    counting = None if rule is None else CountOptions(rule=counting_rule(rule))
    wanted = stop_rule(until) if until else None
    if is_analysis(file) or file.suffix == ".db":
        count, title, reliability = _counted(file, counting, detection_threshold, match_prior)
    elif detection_threshold is None and match_prior is None:
        count, title, reliability = differential_of_table(file, counting or CountOptions()), file.name, None
    else:
        raise OptionError(f"{file} is a table: thresholds and prior can be moved in analysis files alone.")
    more = None if wanted is None else count.more_cells(wanted.code, wanted.half_width)
    if as_json:
        shares = None if reliability is None else reliability.by_code
        facts = None if reliability is None else reliability.to_json()
        print_json(count.to_json(shares) | {"like_calibration": facts, "more_cells": more})
        return
    print_differential(count, title, reliability)
    if more is not None:
        print_line(f"{until} points: {more} more cells." if more else f"{until} points: known already.")


def _counted(
    path: Path, counting: CountOptions | None, detection_threshold: float | None, match_prior: bool | None
) -> tuple[Differential, str, Reliability]:
    """Count an analysis; its differential, its title and what stands behind it."""
    from napari_deepheme.export.counts import differential_of  # noqa: PLC0415
    from napari_deepheme.export.reliability import reliability_of  # noqa: PLC0415
    from napari_deepheme.store import open_analysis  # noqa: PLC0415

    with open_analysis(path) as opened:
        analysis = opened.analysis()
    options, facts = _chosen(analysis, detection_threshold, match_prior), analysis.facts
    chosen = replace(analysis, facts=replace(facts, options=replace(facts.options, assessment=options)))
    title = f"{facts.slide.path.name}, model {facts.bundle.name}"
    return differential_of(chosen, options, counting), title, reliability_of(chosen)


def export(
    analysis: AnalysisPath,
    to: Annotated[
        list[Path],
        typer.Option(
            help="File to write: .csv, .geojson, .geojson.gz (QuPath), .parquet, or a report, .html or .pdf."
        ),
    ],
    detection_threshold: DetectionThreshold = None,
    match_prior: MatchPrior = None,
) -> None:
    """Write the cells of an analysis, with what people corrected, or its report."""
    from napari_deepheme.export.formats import export_cells, format_of  # noqa: PLC0415
    from napari_deepheme.store import open_analysis  # noqa: PLC0415
    from napari_deepheme.taxonomy.own_colours import own_colours  # noqa: PLC0415

    for path in to:
        if path.suffix.lower() not in _REPORTS:
            format_of(path, also=_REPORTS)  # a wrong name is said before anything is written
    with open_analysis(analysis) as file:
        opened = file.analysis()
    options, palette = _chosen(opened, detection_threshold, match_prior), own_colours()
    for path in to:
        if path.suffix.lower() in _REPORTS:
            _write_report(opened, options, path, palette)
        else:
            export_cells(opened, path, options, palette)
        print_line(f"wrote {path}")


def _chosen(
    analysis: Analysis, detection_threshold: float | None, match_prior: bool | None
) -> AssessmentOptions:
    """What the file keeps, thresholds moved in the window among it, but for what is asked for here."""
    options = analysis.facts.options.assessment
    if detection_threshold is not None:
        options = replace(options, detection_threshold=detection_threshold)
    if match_prior is not None:
        options = replace(options, match_prior=match_prior)
    return options


def _write_report(analysis: Analysis, options: AssessmentOptions, path: Path, palette: Palette) -> None:
    from napari_deepheme.report.making import write_report_of  # noqa: PLC0415  matplotlib takes a second

    facts = analysis.facts
    chosen = replace(analysis, facts=replace(facts, options=replace(facts.options, assessment=options)))
    lacking = write_report_of(chosen, path, palette)
    if lacking:
        print_warning(lacking)
