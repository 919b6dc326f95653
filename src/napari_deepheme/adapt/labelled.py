"""Cells that a laboratory has labelled, and where they may come from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.classify.bundle import BundleSpec
from napari_deepheme.datasets.labels import listed
from napari_deepheme.errors import OptionError
from napari_deepheme.jobs import Job


class Grouping(StrEnum):
    """What is kept together in cross-validation, the best known first."""

    PATIENT = "patient"
    SLIDE = "slide"
    FIELD = "field"
    IMAGE = "image"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledCells:
    """Labelled crops of n cells, as a model takes them.

    Attributes
    ----------
    crops : ndarray of uint8, shape (n, px, px, 3)
        At the model's µm/px, each cell in the middle.
    labels : tuple of str
        As the laboratory names them.
    names : tuple of str
        What a person finds each cell by: a file, or a slide and a position.
    groups : tuple of str
        Patient, slide or field of each cell; its own name where none is known.
    grouping : Grouping
        What ``groups`` are.
    smears : tuple of str
        Cells with the same one were stained and photographed together; their stain is matched together.
    notices : tuple of str
        What a person should know of them, a sentence each.
    at_random : frozenset of str
        Names of the cells that were drawn at random to be labelled, as for an audit; of the others nothing
        says how they were chosen.
    """

    crops: NDArray[np.uint8]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    grouping: Grouping
    smears: tuple[str, ...]
    notices: tuple[str, ...] = field(default=())
    at_random: frozenset[str] = field(default=frozenset())

    def __post_init__(self) -> None:
        columns = (self.labels, self.names, self.groups, self.smears)
        if any(len(column) != len(self.crops) for column in columns):
            raise ValueError(
                f"LabelledCells: {len(self.crops)} crops, columns of {[len(c) for c in columns]}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def join(cls, parts: Sequence[LabelledCells]) -> LabelledCells:
        """Several sets as one, grouped by what is known of all of them."""
        order = list(Grouping)
        return cls(
            crops=np.concatenate([part.crops for part in parts]),
            labels=tuple(label for part in parts for label in part.labels),
            names=tuple(name for part in parts for name in part.names),
            groups=tuple(group for part in parts for group in part.groups),
            grouping=max((part.grouping for part in parts), key=order.index),
            smears=tuple(smear for part in parts for smear in part.smears),
            notices=tuple(notice for part in parts for notice in part.notices),
            at_random=frozenset(name for part in parts for name in part.at_random),
        )

    def take(self, index: NDArray[np.intp]) -> LabelledCells:
        """The cells at ``index``."""
        return LabelledCells(
            crops=self.crops[index],
            labels=tuple(self.labels[i] for i in index),
            names=tuple(self.names[i] for i in index),
            groups=tuple(self.groups[i] for i in index),
            grouping=self.grouping,
            smears=tuple(self.smears[i] for i in index),
            notices=self.notices,
            at_random=self.at_random,
        )


class LabelSource(Protocol):
    """Somewhere labelled cells come from: a folder, a table, a person's corrections of an analysis."""

    def read(self, spec: BundleSpec) -> Job[LabelledCells]:
        """Read the cells as the model of ``spec`` takes them."""
        ...


def without_repeats(cells: LabelledCells) -> LabelledCells:
    """Each cell once; OptionError where the same crop, or the same name, has two labels."""
    seen: dict[str, set[int]] = defaultdict(set)
    for i, (crop, name) in enumerate(zip(cells.crops, cells.names, strict=True)):
        seen[name].add(i)
        seen[sha256(crop.tobytes()).hexdigest()].add(i)
    for same in seen.values():
        labels = {cells.labels[i] for i in same}
        if len(labels) > 1:
            first = [f"{cells.names[i]} ({cells.labels[i]})" for i in sorted(same)]
            raise OptionError(
                f"One cell has the labels {' and '.join(sorted(labels))}: {listed(first)}; keep one of them."
            )
    later = {i for same in seen.values() for i in sorted(same)[1:]}
    return cells.take(np.array([i for i in range(len(cells)) if i not in later], np.intp))
