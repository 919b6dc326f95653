"""Commands on slides: ``info`` and ``classify``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.classify.bundle import DEFAULT_BUNDLE
from napari_deepheme.cli.printing import print_facts, print_json
from napari_deepheme.errors import OptionError
from napari_deepheme.models.device import Backend, Device, Precision
from napari_deepheme.stats.assessment import AssessmentOptions

DEFAULTS, RUN, ASSESSMENT = AnalysisOptions(), RunOptions(), AssessmentOptions()

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Mpp = Annotated[
    float | None,
    typer.Option(help="µm per pixel of the slide, in place of what its file says (0.25 at 40×)."),
]
DetectionThreshold = Annotated[
    float | None,
    typer.Option(
        help="Detector score from which a find counts as a cell, 0 to 1; left out, the detector's own for a "
        "film or for crowded marrow. It can be changed after the run."
    ),
]
MatchPrior = Annotated[
    bool, typer.Option(help="Use the class prior of the slide in calls, in place of the one in training.")
]


def info(
    path: Annotated[
        str, typer.Argument(metavar="SLIDE", help="A slide, by its path or URL, or an analysis file.")
    ],
    mpp: Mpp = None,
    as_json: Json = False,
) -> None:
    """Tell a slide's format, levels, µm/px and associated images; or what an analysis file holds."""
    from napari_deepheme.cli.facts import facts_of, in_words  # noqa: PLC0415  commands share no imports

    facts = facts_of(path, mpp)
    if as_json:
        print_json(facts)
    else:
        print_facts(in_words(facts))


def classify(
    slides: Annotated[
        list[str],
        typer.Argument(
            help="Slide files or images of fields of view; TIFF and OME-Zarr elsewhere by https://, s3:// or gs://."
        ),
    ],
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
        int,
        typer.Option(
            help="Stop once this many cells are counted, at the end of a field; 0 classifies every cell."
        ),
    ] = DEFAULTS.target_cells,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS:POINTS",
            help="Count on, beyond the target, until this class is known to ± so many points, such as M6:2.",
        ),
    ] = None,
    detection_threshold: DetectionThreshold = ASSESSMENT.detection_threshold,
    match_stain: Annotated[
        bool, typer.Option(help="Show cells to the model in the colours of its training cells.")
    ] = DEFAULTS.match_stain,
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade", help="Ask further members of the model only of cells that the first leave open."
        ),
    ] = DEFAULTS.cascade,
    match_prior: MatchPrior = ASSESSMENT.match_prior,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = RUN.device,
    precision: Annotated[
        Precision,
        typer.Option(help="Precision of the networks' arithmetic: fp32 is exact, bf16 and fp16 are faster."),
    ] = RUN.precision,
    backend: Annotated[
        Backend,
        typer.Option(help="What computes the model on the CPU: openvino needs the extra of its name."),
    ] = RUN.backend,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh/--resume", help="Start anew, or go on with an unfinished analysis of the same options."
        ),
    ] = False,
    store: Annotated[
        bool, typer.Option(help="Keep the analysis in <slide>.deepheme.db, to resume, correct or export it.")
    ] = True,
    formats: Annotated[
        str, typer.Option(help="Comma-separated, of: csv, geojson, geojson.gz, parquet.")
    ] = "csv",
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="local:N|ADDRESS",
            help="Classify several slides at once: on N processes of this machine, or on the workers of a "
            "dask scheduler (tcp://host:8786).",
        ),
    ] = None,
    memory_limit: Annotated[
        str | None,
        typer.Option(
            help="Memory that a process may take, such as 4GB: batches shrink to fit; a worker of local:N "
            "that takes more is ended, and its slide begun again."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find and classify nucleated cells; write <slide>.cells.csv and <slide>.differential.csv."""
    from napari_deepheme.batch.cluster import threads_of  # noqa: PLC0415
    from napari_deepheme.batch.memory import batch_size_within, bytes_of  # noqa: PLC0415  help texts do without
    from napari_deepheme.batch.plan import Plan  # noqa: PLC0415
    from napari_deepheme.cli.classifying import classify_all, formats_named  # noqa: PLC0415
    from napari_deepheme.given import read_regions  # noqa: PLC0415
    from napari_deepheme.stats.planning import stop_rule  # noqa: PLC0415
    from napari_deepheme.taxonomy.own_colours import own_colours  # noqa: PLC0415

    wanted = formats_named(formats)
    _check_names(slides)
    _check_one_slide(slides, {"--roi": roi, "--cells": cells})
    limit = None if memory_limit is None else bytes_of(memory_limit)
    options = AnalysisOptions(
        target_cells=target_cells,
        regions=read_regions(roi) if roi else (),
        detector=detector,
        until=stop_rule(until, target_cells) if until else None,
        match_stain=match_stain,
        cascade=cascade,
        assessment=AssessmentOptions(detection_threshold, match_prior=match_prior),
    )
    plan = Plan(
        out=out,
        model=model,
        options=options,
        run=RunOptions(device, precision, batch_size_within(limit, threads_of(scheduler)), backend),
        formats=tuple(wanted),
        mpp=mpp,
        store=store,
        fresh=fresh,
        cells=cells,
        roi=roi,
        palette=own_colours(),
    )
    rows = classify_all(slides, plan, scheduler, limit, as_json=as_json)
    if as_json:
        print_json({"slides": [dict(row.report) for row in rows if row.report is not None]})
    if any(row.report is None for row in rows):
        raise typer.Exit(1 if all(row.is_fault for row in rows if row.report is None) else 2)


def _check_one_slide(slides: list[str], given: dict[str, Path | None]) -> None:
    for option, path in given.items():
        if path is not None and len(slides) > 1:
            raise OptionError(
                f"{option} {path} belongs to one slide, {len(slides)} were named; name that slide."
            )


def _check_names(slides: list[str]) -> None:
    from napari_deepheme.slide.location import slide_path  # noqa: PLC0415  as above

    twice = [stem for stem, n in Counter(slide_path(name).stem for name in slides).items() if n > 1]
    if twice:
        raise OptionError(
            f"Several slides are called {', '.join(twice)} and would overwrite each other's results; "
            "classify them into different folders."
        )
