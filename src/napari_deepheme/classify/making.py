"""Writes a classifier's bundle with what its members say of the test image."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from napari_deepheme.classify.bundle import Bundle, BundleSpec, load_bundle
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.models.bundle import save_bundle
from napari_deepheme.models.device import Precision

_TEST_FILE = "self-test.png"


def save_tested(folder: Path, spec: BundleSpec, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle with what its members say of the test image, so that other builds can be held to it."""
    save_bundle(folder, spec, files)
    ensemble = Ensemble(load_bundle(folder), precision=Precision.FP32, checked=False)
    image = np.array(Image.open(BytesIO(files[spec.self_test.image])).convert("RGB"), np.uint8)
    self_test = spec.self_test.model_copy(update={"expected": ensemble.test_values(image)})
    save_bundle(folder, spec.model_copy(update={"self_test": self_test}), files)
    return load_bundle(folder)
