"""The commands ``train`` and ``train-detector``: labelled images to a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepheme.cli.printing import RESEARCH_USE, print_facts, print_line, print_warning, with_bar
from napari_deepheme.errors import OptionError
from napari_deepheme.models.device import Device
from napari_deepheme.taxonomy import PRESETS, read_taxonomy

if TYPE_CHECKING:
    from napari_deepheme.train.recipe import Recipe


def train(
    dataset: Annotated[
        Path, typer.Argument(help="Folder with a folder per class, or a CSV: path,label[,patient,split].")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    mpp: Annotated[float, typer.Option(help="µm per pixel of the images.")],
    recipe: Annotated[str, typer.Option(help="deepheme, preprint, munich or small.")] = "small",
    config: Annotated[Path | None, typer.Option(help="TOML with what to change in the recipe.")] = None,
    taxonomy: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(PRESETS)}, or a TOML file, in place of the recipe's."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="scratch, imagenet, a file of weights, or a bundle to fine-tune, in place of the recipe's."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with an unfinished training.")] = False,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = Device.AUTO,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    licence: Annotated[str, typer.Option(help="Of the weights, for the model card.")] = "not stated",
) -> None:
    """Train a snapshot ensemble on labelled images of single cells."""
    # torch takes seconds
    from napari_deepheme.export import check_folder  # noqa: PLC0415
    from napari_deepheme.train.recipe import read_recipe  # noqa: PLC0415
    from napari_deepheme.train.training import TrainOptions  # noqa: PLC0415
    from napari_deepheme.train.training import train as train_job  # noqa: PLC0415

    chosen = read_recipe(recipe, config)
    if start is not None:
        chosen = _started(chosen, start)
    check_folder(out.absolute().parent)
    options = TrainOptions(
        dataset=dataset,
        out=out,
        recipe=chosen,
        taxonomy=read_taxonomy(taxonomy or chosen.taxonomy),
        mpp=mpp,
        resume=resume,
        device=device,
        seed=seed,
        licence=licence,
    )
    trained = with_bar(train_job(options))
    for warning in trained.warnings:
        print_warning(warning)
    spec = trained.bundle.spec
    print_facts({"bundle": str(out), "members": len(spec.members), **spec.training.metrics})
    print_line(RESEARCH_USE)


def _started(recipe: Recipe, start: str) -> Recipe:
    """A recipe that starts from ``start``; from a bundle with its network, and crops as that takes them."""
    from napari_deepheme.classify.bundle import load_bundle  # noqa: PLC0415  commands share no imports
    from napari_deepheme.models.bundle import SPEC_FILE, embedded_bundles  # noqa: PLC0415

    if start not in embedded_bundles() and not (Path(start) / SPEC_FILE).is_file():
        if Path(start).suffix == ".zip":
            raise OptionError(f"{start}: a training cannot start from a zip; unpack it and give its folder.")
        return recipe.model_copy(update={"start": start})
    bundle = load_bundle(start)
    spec = bundle.spec
    same = ("architecture", "head", "input_px", "mpp", "mean", "std")
    # the last member: of a snapshot ensemble the one that has learned longest
    begun: dict[str, object] = {"start": str(bundle.root / spec.members[-1].file)}
    begun |= {"test_time_views": spec.views}
    return recipe.model_copy(update={name: getattr(spec, name) for name in same} | begun)


def train_detector(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="CSV of boxes (image,xmin,ymin,xmax,ymax) or points (image,x,y), perhaps label and mpp; "
            "or a folder of images, each with <name>.csv or <name>.geojson. Every cell must be marked."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of the images, where the table does not say it.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the training; 4000 if left out.")] = None,
    start: Annotated[
        str, typer.Option(help="scratch, imagenet, or a detector's file of weights.")
    ] = "scratch",
    resume: Annotated[bool, typer.Option(help="Go on with an unfinished training.")] = False,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.AUTO,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    licence: Annotated[str, typer.Option(help="Of the weights, for the model card.")] = "not stated",
) -> None:
    """Train a detector of nucleated cells on fields in which all of them are marked."""
    # torch takes seconds
    from napari_deepheme.export import check_folder  # noqa: PLC0415
    from napari_deepheme.train.detector import DetectorOptions  # noqa: PLC0415
    from napari_deepheme.train.detector import train_detector as train_job  # noqa: PLC0415
    from napari_deepheme.train.heatmap import DetectorRecipe  # noqa: PLC0415

    recipe = DetectorRecipe(start=start)
    check_folder(out.absolute().parent)
    options = DetectorOptions(
        dataset=dataset,
        out=out,
        mpp=mpp,
        recipe=recipe if steps is None else replace(recipe, steps=steps),
        resume=resume,
        device=device,
        seed=seed,
        licence=licence,
    )
    spec = with_bar(train_job(options)).spec
    print_facts({"bundle": str(out), "threshold": spec.threshold, **spec.training.metrics})
    print_line(RESEARCH_USE)
