"""The detector a person names: an embedded one, a bundle, or the stain alone."""

from __future__ import annotations

from napari_deepheme.detect.base import Detector
from napari_deepheme.detect.bundle import load_detector
from napari_deepheme.detect.stain import StainDetector
from napari_deepheme.models.device import Device, Precision

STAIN = "stain"
DEFAULT_DETECTOR = "marrow-cells"


def named_detector(
    name: str, device: Device, precision: Precision = Precision.AUTO, batch_px: int = 0
) -> tuple[Detector, str]:
    """Open a detector, and give its name and version as an analysis records them.

    Parameters
    ----------
    name : str
        ``stain``, an embedded detector, or a detector bundle's folder or zip.
    device : Device
        Where a network runs.
    precision : Precision
        In what it reckons.
    batch_px : int
        Pixels of the images that go through a network at once; of images that are larger, one at a time.

    Raises
    ------
    BundleError, OptionError
        The bundle, the device or the precision cannot be used.
    """
    if name == STAIN:
        return StainDetector(), STAIN
    from napari_deepheme.detect.heatmap import HeatmapDetector  # noqa: PLC0415  torch takes seconds

    bundle = load_detector(name)
    return HeatmapDetector(bundle, device, precision, batch_px), f"{bundle.spec.name} {bundle.spec.version}"
