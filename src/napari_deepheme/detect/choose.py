"""The detector a person names: an embedded one, a bundle, or the stain alone."""

from __future__ import annotations

from napari_deepheme.detect.base import Detector
from napari_deepheme.detect.bundle import load_detector
from napari_deepheme.detect.stain import StainDetector
from napari_deepheme.device import Device

STAIN = "stain"
DEFAULT_DETECTOR = "marrow-cells"


def named_detector(name: str, device: Device) -> tuple[Detector, str]:
    """Open a detector, and give its name and version as an analysis records them.

    Parameters
    ----------
    name : str
        ``stain``, an embedded detector, or a detector bundle's folder or zip.
    device : Device
        Where a network runs.

    Raises
    ------
    BundleError, OptionError
        The bundle or the device cannot be used.
    """
    if name == STAIN:
        return StainDetector(), STAIN
    from napari_deepheme.detect.heatmap import HeatmapDetector  # noqa: PLC0415  torch takes seconds

    bundle = load_detector(name)
    return HeatmapDetector(bundle, device), f"{bundle.spec.name} {bundle.spec.version}"
