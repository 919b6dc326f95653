"""ICC profiles: their names, and colours converted to sRGB for display."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from napari_deepheme.slide.planes import Pixels, Plane, Source

MAX_BYTES = 16 * 2**20
_FAULTS = (ImageCms.PyCMSError, OSError, ValueError)


def profile_name(profile: bytes) -> str:
    """What a profile calls itself, "unreadable" if it is damaged, "" if there is none."""
    if not profile:
        return ""
    try:
        return ImageCms.getProfileDescription(_opened(profile)).strip() or "unnamed"
    except _FAULTS:
        return "unreadable"


def in_srgb(source: Source) -> Source:
    """Give the planes of a source in sRGB; a warning where its profile cannot be used.

    The networks and thresholds know the colours that scanners wrote: this is for people's eyes.
    """
    if not source.icc:
        return source
    try:
        profile = _opened(source.icc)
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            ImageCms.Intent(ImageCms.getDefaultIntent(profile)),
        )
    except _FAULTS:
        said = f"Its ICC profile ({profile_name(source.icc)}) cannot be used: colours are shown as they are"
        return replace(source, warnings=(*source.warnings, said))
    return replace(source, planes=tuple(ConvertedPlane(plane, transform) for plane in source.planes))


class ConvertedPlane:
    """A plane whose colours are converted when it is read."""

    def __init__(self, plane: Plane, transform: ImageCms.ImageCmsTransform) -> None:
        self._plane, self._transform = plane, transform
        self.shape, self.block = plane.shape, plane.block

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the pixels of a half-open window that lies inside the plane."""
        image = Image.fromarray(self._plane.read(top, left, bottom, right))
        converted = ImageCms.applyTransform(image, self._transform)
        return np.asarray(converted)

    def damage(self, top: int, left: int, bottom: int, right: int) -> str:
        """Say which tile of a window that was read is damaged and how, in a sentence, or nothing."""
        return self._plane.damage(top, left, bottom, right)


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    if len(profile) > MAX_BYTES:
        raise ValueError("the profile is too large")
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))
