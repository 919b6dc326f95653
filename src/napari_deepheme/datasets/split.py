"""Which images are learnt from and which are kept to validate with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_deepheme.datasets.dataset import VAL, TrainingImage, check_complete
from napari_deepheme.errors import OptionError


class SplitBy(StrEnum):
    """What a split keeps together."""

    GIVEN = "as given"
    PATIENT = "by patient"
    IMAGE = "by image"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which images are learnt from and which are kept to validate with.

    Attributes
    ----------
    train, val : ndarray of intp
        Sorted indices of the images; each is in one of the two.
    by : str
        A :class:`SplitBy`, for the model card.
    warnings : tuple of str
    """

    train: NDArray[np.intp]
    val: NDArray[np.intp]
    by: str
    warnings: tuple[str, ...]


def split_images(images: Sequence[TrainingImage], groups: NDArray[np.intp], share: float, seed: int) -> Split:
    """Split as the set says, else by patient, else by image; classes are kept in proportion.

    Every class keeps an image to train on, and duplicates go together, but for a split that is given
    (see :func:`~napari_deepheme.datasets.duplicates.refuse_crossing`).

    Parameters
    ----------
    images : sequence of TrainingImage
    groups : ndarray of intp, shape (n,)
        Images with the same number are duplicates of each other.
    share : float
        Part of the images to validate with.
    seed : int
        The same split for the same seed.

    Raises
    ------
    OptionError
        ``share`` is not between 0 and 1, or one side is left without an image.
    TableError
        Only some images have a split, or only some a patient.
    """
    if len(groups) != len(images):
        raise ValueError(
            f"split_images: expected a group for each of {len(images)} images, got {len(groups)}"
        )
    if not 0 < share < 1:
        raise OptionError(f"The share to validate with is {share:g}; expected between 0 and 1, such as 0.1.")
    check_complete(images)
    if images and images[0].split:
        by = SplitBy.GIVEN
        in_val = np.array([image.split == VAL for image in images])
    elif images and images[0].patient:
        by = SplitBy.PATIENT
        in_val = _dealt(images, _patient_units(images, groups), share, seed, tries=50)
    else:
        by = SplitBy.IMAGE
        units = np.unique(groups, return_inverse=True)[1]
        in_val = _dealt(images, units, share, seed, tries=1)
    train, val = np.flatnonzero(~in_val), np.flatnonzero(in_val)
    if not len(train) or not len(val):
        raise OptionError(
            f"All {len(images)} images are in {'train' if len(train) else 'val'}; a split needs some in both."
        )
    return Split(train, val, by, tuple(_split_warnings(images, in_val, share, by)))


def _patient_units(images: Sequence[TrainingImage], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Unit of each image: a patient, or several who share duplicates."""
    names, patients = np.unique([str(image.patient) for image in images], return_inverse=True)
    if len(names) < 2:
        raise OptionError(
            f"All {len(images)} images are of patient {names[0]}, so none can be kept for validation; add "
            "images of another patient, or leave the patients out to split by image (which is optimistic)."
        )
    numbers = np.unique(groups, return_inverse=True)[1]
    edges = (np.ones(len(images)), (patients, len(names) + numbers))
    nodes = len(names) + len(images)
    joined: NDArray[np.intp] = connected_components(coo_array(edges, shape=(nodes, nodes)))[1][patients]
    return np.unique(joined, return_inverse=True)[1]


def _dealt(
    images: Sequence[TrainingImage], units: NDArray[np.intp], share: float, seed: int, tries: int
) -> NDArray[np.bool_]:
    """Which images go to validation, whole units at a time."""
    rng = np.random.default_rng(seed)
    classes = np.unique([image.code for image in images], return_inverse=True)[1]
    counts = np.zeros((units.max(initial=-1) + 1, classes.max(initial=-1) + 1), np.intp)
    np.add.at(counts, (units, classes), 1)
    movable = np.flatnonzero((counts < counts.sum(axis=0)).all(axis=1))
    if not len(movable):
        raise OptionError(
            f"None of {len(counts)} patients, or images with their duplicates, can be kept for validation: "
            "each holds all images of a class; add images of others."
        )
    quotas = _quotas(counts.sum(axis=0), share, rng)
    dealt = [_deal(counts, quotas, rng.permutation(movable)) for _ in range(tries)]
    in_val: NDArray[np.bool_] = min(dealt, key=lambda chosen: _misfit(counts[chosen].sum(axis=0), quotas))
    return in_val[units]


def _quotas(sizes: NDArray[np.intp], share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Images of each class to validate with: in proportion, by largest remainder, never all of a class."""
    exact = share * sizes
    quotas = np.floor(exact).astype(np.intp)
    order = np.lexsort((rng.random(len(sizes)), quotas - exact))
    quotas[order[: max(1, round(exact.sum())) - quotas.sum()]] += 1
    possible: NDArray[np.intp] = np.minimum(quotas, sizes - 1)
    return possible


def _deal(counts: NDArray[np.intp], quotas: NDArray[np.intp], order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Take each unit that brings the classes nearer to their quotas; at least one."""
    chosen = np.zeros(len(counts), np.bool_)
    have, sizes = np.zeros_like(quotas), counts.sum(axis=0)
    for unit in order:
        more = have + counts[unit]
        if (more < sizes).all() and _misfit(more, quotas) < _misfit(have, quotas):
            chosen[unit], have = True, more
    if not chosen.any():
        chosen[min(order, key=lambda unit: _misfit(counts[unit], quotas))] = True
    return chosen


def _misfit(have: NDArray[np.intp], quotas: NDArray[np.intp]) -> int:
    """Images off the quotas, per class and overall."""
    off = have - quotas
    return int(np.abs(off).sum() + abs(off.sum()))


def _split_warnings(
    images: Sequence[TrainingImage], in_val: NDArray[np.bool_], share: float, by: SplitBy
) -> Iterable[str]:
    if by is SplitBy.IMAGE:
        yield (
            "No patients are known: the split is by image, so accuracy is optimistic; "
            "give a CSV with a patient column."
        )
    if by is not SplitBy.GIVEN and abs(in_val.mean() - share) > share / 2:
        yield (
            f"{in_val.mean():.0%} of the images are kept for validation, not {share:.0%}: "
            "patients and duplicates are kept whole."
        )
    codes = {image.code for image in images}
    for half, chosen in (("to train on", ~in_val), ("to validate with", in_val)):
        there = {image.code for image, is_there in zip(images, chosen, strict=True) if is_there}
        if codes - there:
            yield f"No image {half} of {', '.join(sorted(codes - there))}."
