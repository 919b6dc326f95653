"""What every newly made bundle needs: named members, a test image, and what the members say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from napari_deepheme.classify.bundle import Bundle, BundleSpec, Member, SelfTest, load_bundle, save_bundle
from napari_deepheme.classify.ensemble import Ensemble

_TEST_FILE = "self-test.png"


def named_members(weights: Sequence[bytes]) -> tuple[dict[str, bytes], tuple[Member, ...]]:
    """Contents by file name, and their entries in the bundle's description."""
    contents = {f"member-{i}.safetensors": content for i, content in enumerate(weights)}
    entries = (
        Member(file=name, sha256=sha256(content).hexdigest(), cycle=i)
        for i, (name, content) in enumerate(contents.items())
    )
    return contents, tuple(entries)


def test_image(input_px: int, classes: int) -> tuple[dict[str, bytes], SelfTest]:
    """Noise of several sizes, which excites any network; its expected output is still to be filled in."""
    rng = np.random.default_rng(0)
    sizes = (3, 8, 24)
    noise = [rng.random((n, n, 3)).repeat(input_px // n + 1, 0).repeat(input_px // n + 1, 1) for n in sizes]
    pixels = np.mean([each[:input_px, :input_px] for each in noise], axis=0) * 255
    png = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(png, "PNG")
    digest = sha256(png.getvalue()).hexdigest()
    even = (1 / classes,) * classes
    return {_TEST_FILE: png.getvalue()}, SelfTest(image=_TEST_FILE, sha256=digest, expected=even)


def save_tested(folder: Path, spec: BundleSpec, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle with what its members say of the test image, so that other builds can be held to it."""
    save_bundle(folder, spec, files)
    ensemble = Ensemble(load_bundle(folder), checked=False)
    image = np.array(Image.open(BytesIO(files[spec.self_test.image])).convert("RGB"), np.uint8)
    expected = tuple(ensemble.predict(image[None]).mean[0].tolist())
    self_test = spec.self_test.model_copy(update={"expected": expected})
    save_bundle(folder, spec.model_copy(update={"self_test": self_test}), files)
    return load_bundle(folder)
