"""Commands on model bundles: ``models list | show | verify | import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_deepheme.classify.bundle import DEFAULT_BUNDLE, Bundle, BundleSpec, load_bundle
from napari_deepheme.cli.printing import print_facts, print_json, print_line
from napari_deepheme.detect.bundle import DetectorBundle, load_detector
from napari_deepheme.models.bundle import embedded_bundles, kind_of
from napari_deepheme.taxonomy import PRESETS, preset

models = typer.Typer(help="List, show, check and import model bundles.", no_args_is_help=True)

BundleName = Annotated[str, typer.Argument(help="Embedded model, or a bundle's folder or zip.")]


@models.command("list")
def list_bundles(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.")
    ] = False,
) -> None:
    """List the models that come with the package."""
    names = embedded_bundles() + embedded_bundles("detector")
    bundles = [_facts(_opened(name)) for name in names]
    if as_json:
        print_json({"models": bundles})
        return
    for facts in bundles:
        print_facts(facts)


@models.command()
def show(bundle: BundleName = DEFAULT_BUNDLE) -> None:
    """Print a model's card."""
    print_line(_opened(bundle).card)


@models.command()
def verify(bundle: BundleName = DEFAULT_BUNDLE) -> None:
    """Check a bundle's hashes, load its members and run its self-test."""
    # torch takes seconds
    from napari_deepheme.classify.ensemble import Ensemble  # noqa: PLC0415
    from napari_deepheme.detect.heatmap import HeatmapDetector  # noqa: PLC0415

    opened: Bundle | DetectorBundle
    if kind_of(bundle) == "detector":
        opened = load_detector(bundle)
        device = HeatmapDetector(opened).device
    else:
        opened = load_bundle(bundle)
        device = Ensemble(opened).device
    print_line(f"{opened.spec.name} {opened.spec.version} is whole and passes its self-test on {device}.")


@models.command("import")
def import_bundle(
    checkpoints: Annotated[list[Path], typer.Argument(help="DeepHeme checkpoints, a member each.")],
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "deepheme",
    taxonomy: Annotated[str, typer.Option(help=f"Classes: {', '.join(PRESETS)}.")] = "deepheme-23",
    mpp: Annotated[float, typer.Option(help="µm per pixel the networks were trained at.")] = 0.25,
) -> None:
    """Make a bundle of published DeepHeme checkpoints (DataParallel or Lightning)."""
    from napari_deepheme.classify.legacy import (  # noqa: PLC0415  torch takes seconds
        ImportOptions,
        import_checkpoints,
    )
    from napari_deepheme.export import check_folder  # noqa: PLC0415

    check_folder(out)
    bundle = import_checkpoints(checkpoints, out, ImportOptions(name, preset(taxonomy), mpp))
    print_line(f"wrote {out} with {len(bundle.spec.members)} members")


def _opened(source: str) -> Bundle | DetectorBundle:
    return load_detector(source) if kind_of(source) == "detector" else load_bundle(source)


def _facts(bundle: Bundle | DetectorBundle) -> dict[str, object]:
    spec = bundle.spec
    facts: dict[str, object] = {
        "name": spec.name,
        "version": spec.version,
        "kind": spec.kind,
        "architecture": spec.architecture.name,
        "members": len(spec.members),
        "mpp": spec.mpp,
        "licence": spec.licence,
        "metrics": spec.training.metrics,
    }
    if isinstance(spec, BundleSpec):
        facts |= {"input_px": spec.input_px, "classes": list(spec.taxonomy.codes)}
    return facts
