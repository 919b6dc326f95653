"""Commands on analysis files: ``differential`` and ``export``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepheme.cli.counted import differential_of_table
from napari_deepheme.cli.facts import is_analysis
from napari_deepheme.cli.printing import (
    print_differential,
    print_json,
    print_line,
    print_references,
    print_warning,
)
from napari_deepheme.cli.slides import Json
from napari_deepheme.errors import OptionError
from napari_deepheme.stats.rules import CountingRule, counting_rule

if TYPE_CHECKING:
    from napari_deepheme.analysis.result import Analysis
    from napari_deepheme.export.reliability import Reliability
    from napari_deepheme.stats.assessment import AssessmentOptions
    from napari_deepheme.stats.differential import Differential
    from napari_deepheme.stats.intervals import Interval
    from napari_deepheme.stats.references import ReferenceSet
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

References = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Reference ranges to read beside the count: davis, wintrobe, or a TOML file of your own; may be "
        "repeated.",
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
    interval: Annotated[
        str,
        typer.Option(
            help="Interval of a share: wilson, clopper-pearson, or for all classes at once goodman or "
            "sison-glaz."
        ),
    ] = "wilson",
    reference: References = None,
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
    from napari_deepheme.stats.intervals import interval_named  # noqa: PLC0415
    from napari_deepheme.stats.planning import stop_rule  # noqa: PLC0415
    from napari_deepheme.stats.references import reference_set  # noqa: PLC0415

    named, kind = None if rule is None else counting_rule(rule), interval_named(interval)
    wanted = stop_rule(until) if until else None
    usual = [reference_set(each) for each in reference or ()]
    if is_analysis(file) or file.suffix == ".db":
        count, title, reliability = _counted(file, named, kind, detection_threshold, match_prior)
    elif detection_threshold is None and match_prior is None:
        counting = CountOptions(rule=named or counting_rule(), interval=kind)
        count, title, reliability = differential_of_table(file, counting), file.name, None
    else:
        raise OptionError(f"{file} is a table: thresholds and prior can be moved in analysis files alone.")
    more = None if wanted is None else count.more_cells(wanted.code, wanted.half_width)
    if as_json:
        print_json(_document(count, reliability, usual) | {"more_cells": more})
        return
    print_differential(count, title, reliability)
    print_references(count, usual)
    if more is not None:
        print_line(f"{until} points: {more} more cells." if more else f"{until} points: known already.")


def _document(
    count: Differential, reliability: Reliability | None, usual: Sequence[ReferenceSet]
) -> dict[str, object]:
    """Document of plain values for programs."""
    from napari_deepheme.stats.references import beside  # noqa: PLC0415

    shares = None if reliability is None else reliability.by_code
    return count.to_json(shares) | {
        "like_calibration": None if reliability is None else reliability.to_json(),
        "references": {each.name: [line.to_json() for line in beside(count, each)] for each in usual},
    }


def _counted(
    path: Path,
    rule: CountingRule | None,
    interval: Interval,
    detection_threshold: float | None,
    match_prior: bool | None,
) -> tuple[Differential, str, Reliability]:
    """Count an analysis; its differential, its title and what stands behind it."""
    from napari_deepheme.export.counts import counted_by, differential_of  # noqa: PLC0415
    from napari_deepheme.export.reliability import reliability_of  # noqa: PLC0415
    from napari_deepheme.store import open_analysis  # noqa: PLC0415

    with open_analysis(path) as opened:
        analysis = opened.analysis()
    options, facts = _chosen(analysis, detection_threshold, match_prior), analysis.facts
    chosen = replace(analysis, facts=replace(facts, options=replace(facts.options, assessment=options)))
    title = f"{facts.slide.path.name}, model {facts.bundle.name}"
    counting = counted_by(options if rule is None else replace(options, rule=rule))
    counting = replace(counting, interval=interval)
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
    reference: References = None,
) -> None:
    """Write the cells of an analysis, with what people corrected, or its report."""
    from napari_deepheme.export.formats import export_cells, format_of  # noqa: PLC0415
    from napari_deepheme.stats.references import reference_set  # noqa: PLC0415
    from napari_deepheme.store import open_analysis  # noqa: PLC0415
    from napari_deepheme.taxonomy.own_colours import own_colours  # noqa: PLC0415

    # what is wrong is said before anything is written
    for path in to:
        if path.suffix.lower() not in _REPORTS:
            format_of(path, also=_REPORTS)
    for each in reference or ():
        reference_set(each)
    with open_analysis(analysis) as file:
        opened = file.analysis()
    options, palette, facts = _chosen(opened, detection_threshold, match_prior), own_colours(), opened.facts
    for path in to:
        if path.suffix.lower() in _REPORTS:
            chosen = replace(facts, options=replace(facts.options, assessment=options))
            lacking = _write_report(replace(opened, facts=chosen), path, palette, reference or ())
            if lacking:
                print_warning(lacking)
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


def _write_report(analysis: Analysis, path: Path, palette: Palette, references: Sequence[str]) -> str:
    """Write a report beside these reference ranges, else the embedded ones; gives what it lacks."""
    from napari_deepheme.report.making import write_report_of  # noqa: PLC0415  matplotlib takes a second
    from napari_deepheme.stats.references import embedded_references  # noqa: PLC0415

    return write_report_of(analysis, path, palette, references or embedded_references())
