"""The same picture twice in a set: found by small thumbnails, kept on one side of a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_deepheme.datasets.dataset import VAL, TrainingImage
from napari_deepheme.datasets.split import Split, SplitBy
from napari_deepheme.errors import OptionError, SlideError
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.reader import open_slide
from napari_deepheme.slide.tiles import prefetch

THUMBNAIL_PX = 24

SAME_PICTURE = 0.93
"""Correlation of detail from which two thumbnails are of one picture."""
# Chosen on the blood cells of Acevedo et al. (10,488 images) and 400 artefacts of Matek et al.: different
# pictures reach 0.77 at most (looked at; only one pair was the same picture, at 0.985). Their copies (1,900
# images) at JPEG quality 60 keep at least 0.952, at 90 % of the size 0.994, 8 % brighter or darker 0.982, all
# three at once 0.947. Cells cropped to their box: 0.85 and 0.957; with a scale bar burnt in: 0.85 and 0.986.
# Plain correlation does not part them: cropped cells that differ reach 0.964, an artefact's copy keeps 0.967.
# Known limit: cells cut out on black along an ellipse reach 0.981 though they differ. A copy shifted by 3 of
# 180 px keeps 0.90 and is found only in part, and one shifted by more, turned or mirrored is not found.

_DETAIL = 2.0  # standard deviation, thumbnail px: what is smoother is the cell's shape, which all share
_FLAT = 1.0  # grey levels: with less detail than this there is nothing to compare
_BLOCK = 1024
_REPORT_EVERY = 64
_SHOWN = 3


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnails:
    """Thumbnails of those of some images that could be read, and why the others could not.

    Attributes
    ----------
    pixels : ndarray of float32, shape (k, THUMBNAIL_PX, THUMBNAIL_PX, 3)
        RGB, 0 to 255.
    kept : tuple of int
        Their indices, k of them.
    faults : tuple of str
        One sentence per image that could not be read.
    """

    pixels: NDArray[np.float32]
    kept: tuple[int, ...]
    faults: tuple[str, ...]


def read_thumbnails(paths: Sequence[Path]) -> Job[Thumbnails]:
    """Read images and shrink each whole to a small square.

    Raises
    ------
    SlideError
        No image can be read.
    """
    pixels: list[NDArray[np.float32]] = []
    kept: list[int] = []
    faults: list[str] = []
    with closing(prefetch(paths, _thumbnail_or_fault, ahead=8)) as found:
        for i, thumbnail in enumerate(found):
            if isinstance(thumbnail, str):
                faults.append(thumbnail)
            else:
                kept.append(i)
                pixels.append(thumbnail)
            if (i + 1) % _REPORT_EVERY == 0 or i + 1 == len(paths):
                yield Progress("Looking for duplicates", i + 1, len(paths))
    if not pixels:
        raise SlideError(f"None of {len(paths)} images can be read{f': {faults[0]}' if faults else '.'}")
    return Thumbnails(np.stack(pixels), tuple(kept), tuple(faults))


def duplicate_groups(thumbnails: NDArray[np.float32]) -> NDArray[np.intp]:
    """Number the different pictures; near duplicates have the same number.

    They are the same picture stored again, a little resized or a little brighter, not two cells that look
    alike. Copies of copies are one group. A picture without any detail is nobody's duplicate.

    Parameters
    ----------
    thumbnails : ndarray of float32, shape (n, s, s, 3)
        See :class:`Thumbnails`.

    Returns
    -------
    ndarray of intp, shape (n,)
    """
    pairs = [np.zeros((2, 0), np.intp), *_same_pictures(_details(thumbnails))]
    first, second = np.concatenate(pairs, axis=1)
    n = len(thumbnails)
    graph = coo_array((np.ones(len(first), np.bool_), (first, second)), shape=(n, n))
    groups: NDArray[np.intp] = connected_components(graph, directed=False)[1].astype(np.intp)
    return groups


def refuse_crossing(images: Sequence[TrainingImage], groups: NDArray[np.intp], split: Split) -> None:
    """Refuse the same picture under two classes, and, in a split that is given, on both sides.

    Parameters
    ----------
    images : sequence of TrainingImage
    groups : ndarray of intp, shape (n,)
        See :func:`duplicate_groups`.
    split : Split

    Raises
    ------
    OptionError
    """
    codes = [image.code for image in images]
    _refuse(
        images,
        _pairs(groups, lambda a, b: codes[a] != codes[b]),
        "the same picture has two classes",
        "correct one label of each, or remove both",
    )
    if split.by == SplitBy.GIVEN:
        in_val = np.zeros(len(images), np.bool_)
        in_val[split.val] = True
        _refuse(
            images,
            _pairs(groups, lambda a, b: bool(in_val[a] != in_val[b])),
            f"the same picture is in train and in {VAL}, so accuracy would be flattered",
            "remove one of each, or put both in one half",
        )


def _thumbnail_or_fault(path: Path) -> NDArray[np.float32] | str:
    try:
        with open_slide(path) as image:
            height, width = image.info.shape
            middle = (height - 1) / 2, (width - 1) / 2
            scale = height / THUMBNAIL_PX, width / THUMBNAIL_PX
            pixels = image.read_downsampled(middle, (THUMBNAIL_PX, THUMBNAIL_PX), scale)
    except SlideError as err:
        return str(err)
    return pixels.astype(np.float32)


def _details(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is finer than the cell's shape, as rows whose product is their correlation; zeros if flat."""
    smooth = gaussian_filter(thumbnails, (0, _DETAIL, _DETAIL, 0), mode="nearest")
    details: NDArray[np.float32] = (thumbnails - smooth).reshape(
        len(thumbnails), math.prod(thumbnails.shape[1:])
    )
    details -= details.mean(axis=1, keepdims=True)
    length = np.linalg.norm(details, axis=1, keepdims=True)
    details /= np.where(length < _FLAT * details.shape[1] ** 0.5, np.inf, length)
    return details


def _same_pictures(details: NDArray[np.float32]) -> Iterator[NDArray[np.intp]]:
    """Pairs of rows, shape (2, m), a block of rows after the other: all at once would fill the memory."""
    for start in range(0, len(details), _BLOCK):
        alike = details[start : start + _BLOCK] @ details[start:].T >= SAME_PICTURE
        yield np.stack(np.nonzero(np.triu(alike, 1))) + start


def _pairs(groups: NDArray[np.intp], wrong: Callable[[int, int], bool]) -> list[tuple[int, int]]:
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return [
        (a, b)
        for members in np.split(order, starts)
        for a, b in combinations(members.tolist(), 2)
        if wrong(a, b)
    ]


def _refuse(
    images: Sequence[TrainingImage], pairs: Sequence[tuple[int, int]], what: str, remedy: str
) -> None:
    if not pairs:
        return
    shown = "; ".join(f"{_named(images[a])} and {_named(images[b])}" for a, b in pairs[:_SHOWN])
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    raise OptionError(
        f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''} of duplicates: {what} ({shown}{more}); {remedy}."
    )


def _named(image: TrainingImage) -> str:
    return f"{image.path} ({image.label})"
