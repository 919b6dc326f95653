"""The command ``adapt``: a laboratory's own labels to a bundle of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepheme.classify.bundle import DEFAULT_BUNDLE
from napari_deepheme.cli.printing import (
    RESEARCH_USE,
    print_facts,
    print_json,
    print_line,
    print_scores,
    print_warning,
    with_bar,
)
from napari_deepheme.models.device import Device
from napari_deepheme.taxonomy import read_taxonomy

if TYPE_CHECKING:
    from napari_deepheme.adapt import Adapted
    from napari_deepheme.adapt.figures import Figure


def adapt(
    labels: Annotated[
        list[Path],
        typer.Argument(
            help="Folders with a folder per class, CSVs (path,label[,patient]), analysis files with a "
            "person's labels, or a cells.csv with such labels followed by its slide."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the bundle; its name is the model's.")],
    model: Annotated[
        str, typer.Option(help="Parent: an embedded model, or a bundle's folder or zip.")
    ] = DEFAULT_BUNDLE,
    mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of the images, and of slides that do not say it.")
    ] = None,
    taxonomy: Annotated[
        str | None, typer.Option(help="TOML file with classes of your own, where no known class fits.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = Device.AUTO,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.")
    ] = False,
) -> None:
    """Give a model a last layer of your own from labelled cells, in seconds."""
    # seconds that help texts need not wait for
    from napari_deepheme.adapt import AdaptOptions, LabelledCells, label_sources  # noqa: PLC0415
    from napari_deepheme.adapt import adapt as adapt_job  # noqa: PLC0415
    from napari_deepheme.classify.bundle import load_bundle  # noqa: PLC0415
    from napari_deepheme.export.files import check_folder  # noqa: PLC0415

    bundle = load_bundle(model)
    own = None if taxonomy is None else read_taxonomy(taxonomy)
    check_folder(out.absolute().parent)
    parts = [with_bar(source.read(bundle.spec)) for source in label_sources(labels, mpp)]
    options = AdaptOptions(out=out, taxonomy=own, device=device, seed=seed)
    adapted = with_bar(adapt_job(bundle, LabelledCells.join(parts), options))
    for notice in adapted.notices:
        print_warning(notice)
    if as_json:
        print_json(_document(adapted, out))
    else:
        _print(adapted, out)


def _print(adapted: Adapted, out: Path) -> None:
    from napari_deepheme.adapt.figures import TITLES  # noqa: PLC0415  as above

    labelled = {code: n for code, n in adapted.counts.items() if n}
    norm = "with statistics of these cells" if adapted.look.own_norm else "the parent's"
    layer = "new" if adapted.improved else "the parent's: no gain was seen"
    stain = adapted.look.stain.words
    print_facts(
        {"bundle": str(out), "last_layer": layer, "batch_norm": norm, "stain": stain, "labels": labelled}
    )
    rows = []
    for name, title in TITLES.items():
        before, after = adapted.before[name], adapted.after[name]
        rows += [(f"{title}, before", *_shown(before)), (f"{title}, adapted", *_shown(after))]
    print_scores(rows)
    print_line(RESEARCH_USE)


def _shown(figure: Figure) -> tuple[str, str]:
    known = figure.low == figure.low
    return f"{figure.value:.3f}", f"{figure.low:.3f}–{figure.high:.3f}" if known else ""


def _document(adapted: Adapted, out: Path) -> dict[str, object]:
    return {
        "bundle": str(out),
        "improved": adapted.improved,
        "match_stain": adapted.look.stain.value,
        "own_batch_norm_statistics": adapted.look.own_norm,
        "labels": {code: n for code, n in adapted.counts.items() if n},
        "before": {name: figure.value for name, figure in adapted.before.items()},
        "after": {name: figure.value for name, figure in adapted.after.items()},
        "warnings": list(adapted.notices),
    }
