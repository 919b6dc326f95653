"""What the bundle of a classifier says beyond what every bundle says. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from napari_deepheme.bundle import HashedFile, OpenBundle, Part, Spec, open_bundle
from napari_deepheme.classify.stain import StainColours
from napari_deepheme.errors import BundleError
from napari_deepheme.taxonomy import Taxonomy

DEFAULT_BUNDLE = "pbc-11"


class Head(StrEnum):
    """What turns a network's outputs into probabilities."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


class Review(Part):
    """Cells above ``threshold`` (entropy, nats) need a person.

    Among the others the error stays at or below ``risk`` with this ``confidence``, on data like the
    calibration cells.
    """

    threshold: float
    risk: float
    confidence: float


class Conformal(Part):
    """A class enters a cell's conformal set at this probability; sets cover the truth at ``coverage``."""

    threshold: float
    coverage: float


class Novelty(HashedFile):
    """Features of the cells learned from (see :mod:`napari_deepheme.classify.novelty`).

    A cell further from them than ``threshold`` is unlike what the model knows; ``quantile`` of the cells held
    back lay within it.
    """

    threshold: float
    quantile: float


class BundleSpec(Spec):
    """The content of a classifier's ``bundle.json``.

    A crop is seen at each of ``magnifications``, turned over differently each time; its probabilities are the
    mean. ``bf16`` says that calls stay the same in bfloat16, so that ``--precision auto`` may take it.
    ``mixture`` is the share of each class in what it learned from; None where nobody knows, as in imported
    checkpoints: the mixture of a slide is not matched then.
    """

    kind: Literal["classifier"] = "classifier"
    head: Head
    input_px: Annotated[int, Field(gt=0)]
    stain: StainColours | None = None
    magnifications: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    bf16: bool = False
    mixture: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    taxonomy: Taxonomy
    temperature: Annotated[float, Field(gt=0)]
    review: Review
    conformal: Conformal
    ood: Novelty | None = None

    def hashed(self) -> Iterator[tuple[str, str]]:
        """Names and hashes of the files it relies on."""
        yield from super().hashed()
        if self.ood is not None:
            yield self.ood.file, self.ood.sha256


Bundle = OpenBundle[BundleSpec]


def load_bundle(source: str | Path = DEFAULT_BUNDLE) -> Bundle:
    """Open a classifier's bundle and check every file against its hash.

    Parameters
    ----------
    source : str or Path
        Name of an embedded bundle, or a folder or zip that holds ``bundle.json``.

    Raises
    ------
    BundleError
        Not a bundle of a classifier, made by a newer version, or a file missing or altered.
    """
    bundle = open_bundle(source, BundleSpec)
    tested, classes = len(bundle.spec.self_test.expected), len(bundle.spec.taxonomy.classes)
    if tested != classes:
        raise BundleError(
            f"Model bundle {bundle.root}: the self-test expects {tested} classes, "
            f"the taxonomy has {classes}; get the bundle again."
        )
    if bundle.spec.mixture is not None and len(bundle.spec.mixture) != classes:
        raise BundleError(
            f"Model bundle {bundle.root}: the mixture learned from has {len(bundle.spec.mixture)} classes, "
            f"the taxonomy has {classes}; get the bundle again."
        )
    return bundle
