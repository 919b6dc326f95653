"""Commands on analysis files: ``differential`` and ``export``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepheme.cli.printing import print_differential, print_json, print_line, print_warning
from napari_deepheme.cli.slides import Json
from napari_deepheme.errors import DeepHemeError
from napari_deepheme.stats.rules import DEFAULT_RULE, counting_rule

if TYPE_CHECKING:
    from napari_deepheme.analysis.result import Analysis
    from napari_deepheme.stats.assessment import AssessmentOptions

_REPORTS = (".html", ".pdf")

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
    analysis: AnalysisPath,
    detection_threshold: DetectionThreshold = None,
    match_prior: MatchPrior = None,
    rule: Annotated[
        str, typer.Option(help="Counting rule: icsh, deepheme, or a TOML file of your own.")
    ] = DEFAULT_RULE,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS:POINTS",
            help="Say how many more cells to count until this class is known to ± so many points.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the differential of an analysis, with what people corrected."""
    from napari_deepheme.export.reliability import reliability_of  # noqa: PLC0415  commands share no imports
    from napari_deepheme.export.table import differential_of  # noqa: PLC0415
    from napari_deepheme.stats.counting import CountOptions  # noqa: PLC0415
    from napari_deepheme.stats.planning import stop_rule  # noqa: PLC0415
    from napari_deepheme.store import open_analysis  # noqa: PLC0415

    counting, wanted = CountOptions(rule=counting_rule(rule)), stop_rule(until) if until else None
    with open_analysis(analysis) as file:
        opened = file.analysis()
    options = _chosen(opened, detection_threshold, match_prior)
    count = differential_of(opened, options, counting)
    facts = opened.facts
    chosen = replace(opened, facts=replace(facts, options=replace(facts.options, assessment=options)))
    reliability = reliability_of(chosen)
    more = None if wanted is None else count.more_cells(wanted.code, wanted.half_width)
    if as_json:
        document = count.to_json(reliability.by_code) | {"like_calibration": reliability.to_json()}
        print_json(document if more is None else document | {"more_cells": more})
    else:
        print_differential(count, f"{facts.slide.path.name}, model {facts.bundle.name}", reliability)
        if more is not None:
            print_line(f"{until} points: {more} more cells." if more else f"{until} points: known already.")


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

    for path in to:
        if path.suffix.lower() not in _REPORTS:
            format_of(path, also=_REPORTS)  # a wrong name is said before anything is written
    with open_analysis(analysis) as file:
        opened = file.analysis()
    options = _chosen(opened, detection_threshold, match_prior)
    for path in to:
        if path.suffix.lower() in _REPORTS:
            _write_report(opened, options, path)
        else:
            export_cells(opened, path, options)
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


def _write_report(analysis: Analysis, options: AssessmentOptions, path: Path) -> None:
    from napari_deepheme.classify.bundle import load_bundle  # noqa: PLC0415
    from napari_deepheme.models.bundle import embedded_bundles  # noqa: PLC0415
    from napari_deepheme.report import write_slide_report  # noqa: PLC0415  matplotlib takes a second
    from napari_deepheme.report.analysis import slide_report  # noqa: PLC0415
    from napari_deepheme.slide.reader import open_slide  # noqa: PLC0415

    facts = analysis.facts
    chosen = replace(analysis, facts=replace(facts, options=replace(facts.options, assessment=options)))
    bundle = load_bundle(facts.bundle.name) if facts.bundle.name in embedded_bundles() else None
    card = bundle.card if bundle is not None and bundle.spec == facts.bundle else ""
    with ExitStack() as stack:
        slide = None
        try:
            slide = stack.enter_context(
                open_slide(facts.slide.path, mpp=facts.slide.mpp and facts.slide.mpp[0])
            )
        except DeepHemeError as err:
            print_warning(f"The report has no pictures of the slide: {err}")
        write_slide_report(slide_report(chosen, slide, card), path)
