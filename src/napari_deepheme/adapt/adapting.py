"""Labelled cells of a laboratory and a parent to a bundle of the laboratory's own, as one job.

torch is imported when the networks run, not with this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_deepheme.adapt.choice import KEPT
from napari_deepheme.adapt.classes import resolved
from napari_deepheme.adapt.figures import Figure
from napari_deepheme.adapt.labelled import LabelledCells, without_repeats
from napari_deepheme.adapt.look import Look
from napari_deepheme.adapt.teaching import NewModel, learned_from
from napari_deepheme.classify.bundle import Bundle, BundleSpec, Head
from napari_deepheme.errors import BundleError, OptionError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.models.device import Device
from napari_deepheme.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class AdaptOptions:
    """How to adapt a model, and where it goes.

    Attributes
    ----------
    out : Path
        Folder of the new bundle; its name is the model's.
    taxonomy : Taxonomy, optional
        Classes of the laboratory that no preset has.
    device : Device
    seed : int
        Of the parts of the cross-validation and of the members' resamples.
    """

    out: Path
    taxonomy: Taxonomy | None = None
    device: Device = Device.AUTO
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """A bundle of a laboratory's own.

    Attributes
    ----------
    bundle : Bundle
    improved : bool
        False where cross-validation showed no gain, so that the parent's last layer was kept.
    gains : bool
        Whether anything but the calibration was changed: the last layer, or how it looks at cells.
    look : Look
        Whether the new model matches the stain of a slide, and whether its batch normalisation has
        statistics of the labelled cells.
    before, after : dict of str to Figure
        Of the parent as it is, and cross-validated of the new model.
    counts : dict of str to int
        Labels of each class.
    notices : tuple of str
        What a person should know before relying on it, a sentence each.
    """

    bundle: Bundle
    improved: bool
    gains: bool
    look: Look
    before: dict[str, Figure]
    after: dict[str, Figure]
    counts: dict[str, int]
    notices: tuple[str, ...]


def adapt(bundle: Bundle, cells: LabelledCells, options: AdaptOptions) -> Job[Adapted]:
    """Give a model a new last layer that knows a laboratory's own labels.

    The weights of its networks stay as they are. Whether the stain is matched, whether batch normalisation
    takes statistics of the labelled cells, how strongly the new layer holds on to the parent's, and the
    calibration are set by cross-validation over patients, slides or fields where they are known. What shows
    no gain stays the parent's; the calibration is always made anew.

    Parameters
    ----------
    bundle : Bundle
        The parent.
    cells : LabelledCells
        At the parent's µm/px.
    options : AdaptOptions

    Yields
    ------
    Progress

    Returns
    -------
    Adapted

    Raises
    ------
    OptionError, TaxonomyError
        Labels that contradict each other, are too few, or mean no class; a bundle is there already.
    BundleError
        A parent whose last layer is not a plain one on its features.
    """
    _check(bundle.spec, options)
    cells = without_repeats(cells)
    classes = resolved(cells.labels, bundle.spec.taxonomy, options.taxonomy)
    yield Progress("Loading the model")
    from napari_deepheme.adapt.networks import Frozen  # noqa: PLC0415  torch takes seconds

    frozen = Frozen(bundle, options.device)
    views = yield from frozen.features(cells, classes.labels)
    learned = yield from learned_from(bundle, frozen.layers, views, cells, classes, options.seed)
    yield Progress("Writing the bundle")
    from napari_deepheme.adapt.writing import write_adapted  # noqa: PLC0415  torch takes seconds

    return _adapted(write_adapted(bundle, frozen.weights(learned.outcome.look), learned, options), learned)


def _adapted(made: Bundle, learned: NewModel) -> Adapted:
    improved, look = learned.outcome.strength != KEPT, learned.outcome.look
    return Adapted(
        made,
        improved,
        improved or look != learned.parent_look,
        look,
        learned.before,
        learned.after,
        learned.classes.counts,
        learned.notices,
    )


def _check(spec: BundleSpec, options: AdaptOptions) -> None:
    if spec.head is not Head.SOFTMAX or spec.architecture.classifier is not None:
        raise BundleError(
            f"{spec.name} has a last layer that cannot be adapted (sigmoid scores, or hidden units after the "
            "features); train with --start from its weights instead."
        )
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise OptionError(f"{options.out} is there already; give another folder, or remove it.")
