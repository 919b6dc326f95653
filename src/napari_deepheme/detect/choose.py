"""The detector a person names: an embedded one, a bundle, or the stain alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deepheme.models.device import Device, Precision

if TYPE_CHECKING:
    from napari_deepheme.detect.base import Detector

STAIN = "stain"
"""Name of the detector that needs no network."""

DEFAULT_DETECTOR = "marrow-cells"


def named_detector(
    name: str, device: Device, precision: Precision = Precision.AUTO, batch_px: int = 0
) -> Detector:
    """Open a detector.

    Parameters
    ----------
    name : str
        ``stain``, an embedded detector, or a detector bundle's folder or zip.
    device : Device
        Where a network runs.
    precision : Precision
        Precision of its arithmetic.
    batch_px : int
        Pixels of the images that go through a network at once; of images that are larger, one at a time.

    Raises
    ------
    BundleError, OptionError
        The bundle, the device or the precision cannot be used.
    """
    if name == STAIN:
        from napari_deepheme.detect.stain import StainDetector  # noqa: PLC0415  scikit-image takes half a second

        return StainDetector()
    from napari_deepheme.detect.bundle import load_detector  # noqa: PLC0415  only this one has a bundle
    from napari_deepheme.detect.heatmap import HeatmapDetector  # noqa: PLC0415  torch takes seconds

    return HeatmapDetector(load_detector(name), device, precision, batch_px)
