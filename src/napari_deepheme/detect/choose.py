"""The detector a person names: an embedded one, a bundle, or the stain alone."""

from __future__ import annotations

from napari_deepheme.detect.base import Detector
from napari_deepheme.detect.bundle import load_detector
from napari_deepheme.detect.stain import STAIN, StainDetector
from napari_deepheme.models.device import Device, Precision

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
        return StainDetector()
    from napari_deepheme.detect.heatmap import HeatmapDetector  # noqa: PLC0415  torch takes seconds

    return HeatmapDetector(load_detector(name), device, precision, batch_px)
