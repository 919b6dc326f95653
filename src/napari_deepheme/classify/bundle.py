"""What the bundle of a classifier says beyond what every bundle says. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field

from napari_deepheme.classify.cascade import Settling
from napari_deepheme.classify.stain import Matching, StainColours, StainMatching
from napari_deepheme.errors import BundleError, OptionError
from napari_deepheme.models.bundle import OpenBundle, open_bundle
from napari_deepheme.models.spec import Channels, HashedFile, Part, Share, Spec
from napari_deepheme.stats.assessment import ModelCalibration
from napari_deepheme.taxonomy import Taxonomy, fault_of, recoloured

if TYPE_CHECKING:
    from napari_deepheme.stats.calibration_set import CalibrationSet

DEFAULT_BUNDLE = "pbc-11"

InputSide = Annotated[int, Field(ge=32, le=1024)]
"""Side of a crop, px: too small and networks have nothing to pool, too large and a batch fills the memory."""
Magnification = Annotated[float, Field(ge=0.25, le=4)]
Magnifications = Annotated[tuple[Magnification, ...], Field(min_length=1, max_length=16)]


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
    risk: Share
    confidence: Share


class Conformal(Part):
    """A class enters a cell's conformal set at this probability; sets cover the truth at ``coverage``."""

    threshold: float
    coverage: Share


class Cascade(Part):
    """Members need not all be asked (see :mod:`napari_deepheme.classify.cascade`).

    With this ``threshold`` at most the share ``changed`` of the calibration cells are called otherwise.
    """

    threshold: Annotated[float, Field(gt=0, le=1)]
    changed: Share


class OutOfDistribution(HashedFile):
    """The out-of-distribution reference (see :mod:`napari_deepheme.classify.ood`).

    A cell whose distance is above ``threshold`` is unlike the training cells; of the cells held back the
    share ``quantile`` lay below it.
    """

    threshold: float
    quantile: Share


def _sound(taxonomy: Taxonomy) -> Taxonomy:
    """Refuse classes that would be counted twice, or cannot be shown."""
    fault = fault_of(taxonomy)
    if fault:
        raise ValueError(fault)
    return taxonomy


class BundleSpec(Spec):
    """The content of a classifier's ``bundle.json``.

    ``views`` are the magnifications of the test-time views: a crop is shown at each of them, flipped
    differently each time, and its probabilities are their mean. ``bf16`` says that calls stay the same in
    bfloat16, so that ``--precision auto`` may take it. ``class_prior`` is the share of each class among the
    training cells; None where it is not known, as in imported checkpoints: then the prior of a slide is not
    matched. ``stain`` holds the colours of the training cells, and ``match_stain`` says in which of the views
    a slide is shown in them. ``calibration_cells`` is a file of the cells it was calibrated on (see
    :mod:`napari_deepheme.stats.calibration_set`). Bundles before version 6 of ``pbc-11`` call views and prior
    ``magnifications`` and ``mixture``.
    """

    kind: Literal["classifier"] = "classifier"
    head: Head
    input_px: InputSide
    stain: StainColours | None = None
    match_stain: Matching = StainMatching.ALL
    views: Annotated[
        Magnifications,
        Field(validation_alias=AliasChoices("views", "magnifications")),
    ] = (1.0,)
    bf16: bool = False
    class_prior: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...] | None,
        Field(validation_alias=AliasChoices("class_prior", "mixture")),
    ] = None
    taxonomy: Annotated[Taxonomy, AfterValidator(_sound), AfterValidator(recoloured)]
    temperature: Annotated[float, Field(gt=0)]
    review: Review
    conformal: Conformal
    ood: OutOfDistribution | None = None
    calibration_cells: HashedFile | None = None
    cascade: Cascade | None = None

    @property
    def calibration(self) -> ModelCalibration:
        """What calls and thresholds are computed with."""
        return ModelCalibration(
            taxonomy=self.taxonomy,
            temperature=self.temperature,
            review_threshold=self.review.threshold,
            conformal_threshold=self.conformal.threshold,
            ood_threshold=math.inf if self.ood is None else self.ood.threshold,
            class_prior=self.class_prior,
        )

    @property
    def matches_stain(self) -> bool:
        """Whether a slide's colours are brought to the model's, in some views at least."""
        return self.match_stain is not StainMatching.NONE and self.stain is not None

    def settling(self) -> Settling:
        """When members need not all be asked.

        Raises
        ------
        OptionError
            No threshold was chosen for this model.
        """
        if self.cascade is None:
            raise OptionError(
                f"Model {self.name} {self.version} has no threshold for a cascade; leave --cascade out."
            )
        return Settling(self.cascade.threshold, self.calibration.ood_threshold)

    def hashed(self) -> Iterator[tuple[str, str]]:
        """Names and hashes of the files it relies on."""
        yield from super().hashed()
        for each in (self.ood, self.calibration_cells):
            if each is not None:
                yield each.file, each.sha256


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What turns crops into a network's probabilities; the fields are those of :class:`BundleSpec`."""

    head: Head
    input_px: int
    mean: Channels
    std: Channels
    views: tuple[float, ...] = (1.0,)
    stain: StainColours | None = None
    match_stain: StainMatching = StainMatching.ALL

    @classmethod
    def of(cls, spec: BundleSpec) -> NetworkFacts:
        """Those of a bundle."""
        return cls(spec.head, spec.input_px, spec.mean, spec.std, spec.views, spec.stain, spec.match_stain)


Bundle = OpenBundle[BundleSpec]


def calibration_cells(bundle: Bundle) -> CalibrationSet | None:
    """The cells a model was calibrated on; None where the bundle does not hold them."""
    from napari_deepheme.stats.calibration_set import CalibrationSet  # noqa: PLC0415  scipy is slow

    content = calibration_content(bundle)
    return CalibrationSet.from_bytes(content) if content else None


def calibration_content(bundle: Bundle) -> bytes:
    """The file with these cells; empty where the bundle has none."""
    entry = bundle.spec.calibration_cells
    return b"" if entry is None else bundle.read(entry.file)


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
    if bundle.spec.class_prior is not None and len(bundle.spec.class_prior) != classes:
        raise BundleError(
            f"Model bundle {bundle.root}: the class prior has {len(bundle.spec.class_prior)} classes, "
            f"the taxonomy has {classes}; get the bundle again."
        )
    return bundle
