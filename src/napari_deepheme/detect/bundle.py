"""What the bundle of a detector says beyond what every bundle says. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from napari_deepheme.models.bundle import OpenBundle, open_bundle
from napari_deepheme.models.spec import Spec


class DetectorSpec(Spec):
    """The content of a detector's ``bundle.json``.

    ``width`` is the number of the decoder's channels; a peak of the heatmap is a cell from ``threshold`` on,
    in crowds from ``crowded_threshold`` on (None: the same).
    The self-test expects the heatmap's highest value in each of sixteen squares of its image.
    """

    kind: Literal["detector"] = "detector"
    width: Annotated[int, Field(gt=0)]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    crowded_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None


DetectorBundle = OpenBundle[DetectorSpec]


def load_detector(source: str | Path) -> DetectorBundle:
    """Open a detector's bundle and check every file against its hash.

    Parameters
    ----------
    source : str or Path
        Name of an embedded detector, or a folder or zip that holds ``bundle.json``.

    Raises
    ------
    BundleError
        Not a bundle of a detector, made by a newer version, or a file missing or altered.
    """
    return open_bundle(source, DetectorSpec)
