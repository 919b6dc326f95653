"""The command ``evaluate``: how good predictions are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_deepheme.classify.bundle import DEFAULT_BUNDLE
from napari_deepheme.cli.printing import (
    RESEARCH_USE,
    print_json,
    print_line,
    print_scores,
    print_warning,
    with_bar,
)
from napari_deepheme.models.device import Device


def evaluate(
    dataset: Annotated[Path | None, typer.Argument(help="Folder with a folder of images per class.")] = None,
    model: Annotated[str, typer.Option(help="Embedded model, or a bundle's folder or zip.")] = DEFAULT_BUNDLE,
    mpp: Annotated[float | None, typer.Option(help="µm per pixel of the images.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Table of probabilities, one column a class, images in the first.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Table of the truth: one-hot or class names.")] = None,
    raters: Annotated[Path | None, typer.Option(help="Table of experts' labels, one column each.")] = None,
    ood: Annotated[Path | None, typer.Option(help="Folder of images unlike the set's, same µm/px.")] = None,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = Device.AUTO,
    match_stain: Annotated[
        bool, typer.Option(help="Show images to the model in the colours it was trained on.")
    ] = True,
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade",
            help="Ask further members of the model only of images that the first leave open.",
        ),
    ] = False,
    skip_unknown: Annotated[
        bool, typer.Option(help="Leave out images of classes the model has no class for.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="HTML report with figures to write.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.")
    ] = False,
) -> None:
    """Measure a model on a labelled set, or anyone's table of predictions against the truth."""
    # pandas, scipy and matplotlib take seconds
    from napari_deepheme.evaluate.evaluate import EvaluateOptions  # noqa: PLC0415
    from napari_deepheme.evaluate.evaluate import evaluate as evaluate_job  # noqa: PLC0415
    from napari_deepheme.export import check_folder  # noqa: PLC0415
    from napari_deepheme.report import headline, write_report  # noqa: PLC0415

    options = EvaluateOptions(
        dataset=dataset,
        model=model,
        mpp=mpp,
        predictions=predictions,
        truth=truth,
        raters=raters,
        ood=ood,
        device=device,
        match_stain=match_stain,
        cascade=cascade,
        skip_unknown=skip_unknown,
    )
    if report is not None:
        check_folder(report.absolute().parent)
    evaluation = with_bar(evaluate_job(options))
    for warning in evaluation.warnings:
        print_warning(warning)
    if report is not None:
        write_report(evaluation, report)
    if as_json:
        print_json(evaluation.to_json())
        return
    print_scores(headline(evaluation))
    if report is not None:
        print_line(f"wrote {report}")
    print_line(RESEARCH_USE)
