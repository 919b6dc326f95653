"""Folders of single-cell images, at any µm/px, as the crops a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.classify.bundle import BundleSpec
from napari_deepheme.errors import OptionError, ScaleError, SlideError
from napari_deepheme.files import is_folder
from napari_deepheme.slide.metadata import MPP_RANGE
from napari_deepheme.slide.reader import open_slide
from napari_deepheme.taxonomy import PRESETS, Taxonomy, codes_meant

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image of one cell and the name of its class in its set."""

    path: Path
    label: str


def image_files(folder: Path) -> list[Path]:
    """Every image under a folder, sorted.

    Raises
    ------
    OptionError
        No folder, or no image in it.
    """
    if not is_folder(folder):
        raise OptionError(f"{folder} is not a folder; expected one of images.")
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    found = sorted(path for path in files if not path.name.startswith("."))
    if not found:
        raise OptionError(f"{folder} holds no image ({', '.join(sorted(SUFFIXES))}).")
    return found


def labelled_images(folder: Path, taxonomy: Taxonomy) -> list[LabelledImage]:
    """Images with the class that a folder above them names: ``PMY/x.jpg``, ``NGS/0001-1000/x.jpg``.

    That folder is the lowest one whose name is a known class, else the highest one.

    Raises
    ------
    OptionError
        No image, or some in no folder of a class.
    """
    files = image_files(folder)
    loose = [path.name for path in files if path.parent == folder]
    if loose:
        raise OptionError(
            f"{folder}: {len(loose)} images such as {loose[0]} lie in no folder of a class; "
            "expected <CLASS>/<image>."
        )
    return [LabelledImage(path, _label(path.relative_to(folder), taxonomy)) for path in files]


def read_crop(path: Path, mpp: float, spec: BundleSpec) -> NDArray[np.uint8]:
    """Read the middle of an image as a model takes it, its edge pixels repeated where it is smaller.

    Parameters
    ----------
    path : Path
    mpp : float
        µm/px of the image.
    spec : BundleSpec
        Says the crop's side and µm/px.

    Returns
    -------
    ndarray of uint8, shape (input_px, input_px, 3)

    Raises
    ------
    SlideError
        The image is damaged.
    """
    with open_slide(path, mpp=mpp) as image:
        height, width = image.info.shape
        return image.read(((height - 1) / 2, (width - 1) / 2), (spec.input_px, spec.input_px), spec.mpp)


def check_mpp(mpp: float) -> None:
    """Refuse a µm/px that images of cells cannot have, with :class:`ScaleError`."""
    if not MPP_RANGE[0] <= mpp <= MPP_RANGE[1]:
        raise ScaleError(
            f"{mpp:g} µm/px is implausible; expected {MPP_RANGE[0]:g} to {MPP_RANGE[1]:g}, "
            "typically 0.25 for a 40x and 0.1 for a 100x image."
        )


def crop_or_fault(path: Path, mpp: float, spec: BundleSpec) -> NDArray[np.uint8] | str:
    """What :func:`read_crop` gives, or why there is none."""
    try:
        return read_crop(path, mpp, spec)
    except SlideError as err:
        return str(err)


def _label(path: Path, taxonomy: Taxonomy) -> str:
    folders = path.parts[:-1]
    known = (
        name for name in reversed(folders) if any(codes_meant(name, t) for t in (taxonomy, *PRESETS.values()))
    )
    return next(known, folders[0])
