"""Cells to train on: patches wider than a crop, so that views can turn and shift."""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from napari_deepheme.datasets.dataset import TrainingImage
from napari_deepheme.errors import OutputError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.reader import open_slide
from napari_deepheme.slide.tiles import prefetch
from napari_deepheme.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Cells in the middle of square patches, at the model's µm/px.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, p, p, 3)
        May lie on disk.
    labels : ndarray of int64, shape (n,)
        Class indices.
    boxes : ndarray of float32, shape (n, 2)
        Height and width of the cell, px; NaN where not known.
    in_source : ndarray of bool, shape (n,)
        False for cells of another laboratory than the one the model is for: they may not be told by colour.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    in_source: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Patches:
        """Give the patches at ``index``."""
        return Patches(*(getattr(self, field.name)[index] for field in fields(self)))

    def crops(self, input_px: int) -> NDArray[np.uint8]:
        """The middles as a network takes them, shape (n, input_px, input_px, 3)."""
        edge = (self.images.shape[1] - input_px) // 2
        return np.ascontiguousarray(self.images[:, edge : edge + input_px, edge : edge + input_px])

    @classmethod
    def join(cls, parts: Sequence[Patches]) -> Patches:
        """Several sets as one."""
        return cls(*(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(cls)))


def patch_px(input_px: int) -> int:
    """Side of the patch for crops of ``input_px``: room to turn, shift and shrink."""
    return input_px * 3 // 2


def read_patches(
    images: Sequence[TrainingImage], taxonomy: Taxonomy, mpp: float, model: tuple[int, float], folder: Path
) -> Job[Patches]:
    """Read images into patches that lie in ``folder``, so that large sets need no memory.

    Parameters
    ----------
    images : sequence of TrainingImage
        Readable ones: :func:`~napari_deepheme.datasets.duplicates.read_thumbnails` has looked at them.
    taxonomy : Taxonomy
    mpp : float
        µm/px of the images.
    model : (int, float)
        Side of the model's crops in px, and their µm/px.
    folder : Path
        For ``patches.npy`` and ``boxes.npy``; where they are already, they are used as they are.

    Raises
    ------
    SlideError
        An image cannot be read any more.
    """
    side = patch_px(model[0])
    pixels_file, boxes_file = folder / "patches.npy", folder / "boxes.npy"
    if not boxes_file.exists():
        pixels = _allocated(pixels_file, (len(images), side, side, 3))
        boxes = np.empty((len(images), 2), np.float32)
        with closing(prefetch(images, lambda image: _read(image, mpp, side, model[1]), ahead=8)) as found:
            for i, (pixels[i], boxes[i]) in enumerate(found):
                if i % 64 == 0 or i == len(images) - 1:
                    yield Progress("Reading images", i + 1, len(images))
        pixels.flush()
        np.save(boxes_file, boxes)  # last: it says that the pixels are whole
    return Patches(
        np.load(pixels_file, mmap_mode="r"),
        np.array([taxonomy.codes.index(image.code) for image in images], np.int64),
        np.load(boxes_file),
        np.ones(len(images), bool),
    )


def _allocated(
    file: Path, shape: tuple[int, int, int, int]
) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
    """A file of pixels mapped to memory, its room taken on the disk.

    Without room of its own a page that is written to on a full disk ends the process with a bus error.

    Raises
    ------
    OutputError
        The disk is full.
    """
    needed = math.prod(shape)
    try:
        if shutil.disk_usage(file.parent).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
        pixels = open_memmap(file, "w+", np.uint8, shape)
        if hasattr(os, "posix_fallocate"):
            with file.open("r+b") as opened:
                os.posix_fallocate(opened.fileno(), 0, os.fstat(opened.fileno()).st_size)
    except OSError as err:
        raise OutputError(
            f"{file} needs {needed / 2**30:.2g} GB that cannot be had ({err.strerror or err}); "
            "free some space, or train in another folder."
        ) from err
    return pixels


def _read(
    image: TrainingImage, mpp: float, side: int, model_mpp: float
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """The patch, and height and width of the cell in it."""
    with open_slide(image.path, mpp=mpp) as slide:
        height, width = slide.info.shape
        box = image.box
        y, x = (0.5, 0.5) if box is None else (box.y, box.x)
        patch = slide.read((y * height - 0.5, x * width - 0.5), (side, side), model_mpp)
    scale = mpp / model_mpp
    return patch, (np.nan, np.nan) if box is None else (
        box.height * height * scale,
        box.width * width * scale,
    )
