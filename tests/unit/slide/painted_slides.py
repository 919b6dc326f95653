"""Painted slides whose every pixel is known."""

from __future__ import annotations

import numpy as np
import tifffile
from PIL import Image

SIGMA = 12.0
SPACING = 160.0


def dots(shape, downsample=(1.0, 1.0), size0=None):
    """Dark dots on white, painted straight at one level: (y, x) of dot k is 80 + 160 k, level-0 pixels.

    Pixel k of a level covers [k d - ½, (k + 1) d - ½) of level 0, so its centre is (k + ½) d - ½.
    """
    profile = []
    for n, d in zip(shape, downsample, strict=True):
        at = (np.arange(n) + 0.5) * d - 0.5
        away = (at - 80 + SPACING / 2) % SPACING - SPACING / 2
        profile.append(np.exp(-(away**2) / (2 * (SIGMA**2))))
    grey = 255 - 200 * np.outer(*profile)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)


def texture(height, width, seed=0):
    """Smooth coloured noise that no two places share."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (height // 8 + 2, width // 8 + 2, 3)).astype(float)
    fine = np.kron(coarse, np.ones((8, 8, 1)))[:height, :width]
    return (fine + rng.integers(-15, 15, (height, width, 3))).clip(0, 255).astype(np.uint8)


def write_tiff(path, *levels, **options):
    """A tiled TIFF whose further pages are reduced images, as most scanners write them."""
    options = {"photometric": "rgb", "tile": (128, 128), "compression": "deflate", "metadata": None} | options
    with tifffile.TiffWriter(path) as writer:
        for number, pixels in enumerate(levels):
            writer.write(pixels, subfiletype=int(number > 0), **options)
    return path


def write_vms(folder, **changed):
    """A Hamamatsu VMS of one JPEG with a restart marker a row of blocks, and its map."""
    image = Image.fromarray(texture(480, 512))
    image.save(folder / "a.jpg", quality=95, subsampling=0, restart_marker_rows=1)
    image.resize((64, 60)).save(folder / "map.jpg", quality=95, subsampling=0, restart_marker_rows=1)
    said = {
        "NoLayers": 1, "NoJpegColumns": 1, "NoJpegRows": 1, "ImageFile": "a.jpg", "MapFile": "map.jpg",
        "PhysicalWidth": 128_000, "PhysicalHeight": 120_000, "SourceLens": 40,
    } | changed  # fmt: skip
    path = folder / "slide.vms"
    lines = [f"{name}={value}" for name, value in said.items()]
    path.write_text("\n".join(["[Virtual Microscope Specimen]", *lines, ""]))
    return path
