"""ICC profiles: named for everyone, applied for those who ask, never for an analysis."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from painted_slides import texture, write_tiff
from PIL import Image, ImageCms

from napari_deepheme.slide import open_slide

FULL = texture(300, 200)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace(b"rXYZ", b"----").replace(b"bXYZ", b"rXYZ").replace(b"----", b"bXYZ")
"""A profile whose red is blue and whose blue is red."""
WINDOW = (0, 0, 300, 200)


def pixels(path, **options):
    with open_slide(path, **options) as slide:
        return slide.level_pixels(0, WINDOW)


@pytest.mark.parametrize("suffix", ["tif", "png", "webp"])
def test_colours_are_converted_when_asked_for_and_only_then(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        write_tiff(path, FULL, iccprofile=SWAPPED)
    else:
        Image.fromarray(FULL).save(path, icc_profile=SWAPPED, lossless=True)
    assert np.array_equal(pixels(path), FULL)
    apart = np.abs(pixels(path, icc=True).astype(int) - FULL[..., ::-1])
    assert apart.max() <= 3
    with open_slide(path, icc=True) as slide:
        assert slide.info.icc.startswith("sRGB")
        again = pickle.loads(pickle.dumps(slide))
        assert np.array_equal(again.level_pixels(0, WINDOW), slide.level_pixels(0, WINDOW))
        again.close()


@pytest.mark.parametrize("profile", [b"nonsense", SRGB[:300], SRGB.replace(b"RGB ", b"CMYK")])
def test_a_profile_that_cannot_be_used_is_said_and_changes_nothing(tmp_path, profile):
    path = write_tiff(tmp_path / "a.tif", FULL, iccprofile=profile)
    assert np.array_equal(pixels(path, icc=True), FULL)
    with open_slide(path, icc=True) as slide:
        assert "cannot be used" in " ".join(slide.info.warnings)
    with open_slide(path) as slide:
        assert not slide.info.warnings


def test_without_a_profile_nothing_changes(tmp_path):
    path = write_tiff(tmp_path / "a.tif", FULL)
    assert np.array_equal(pixels(path, icc=True), FULL)
    with open_slide(path) as slide:
        assert slide.info.icc == ""
