"""What the class names of a labelled set mean to a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from napari_deepheme.errors import TaxonomyError
from napari_deepheme.stats.metrics import Floats, Indices
from napari_deepheme.taxonomy import PRESETS, CellClass, Taxonomy, codes_meant

_SHOWN = 5


def listed(names: Iterable[str]) -> str:
    """The first few of many names."""
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more


@dataclass(frozen=True, slots=True, eq=False)
class SharedClasses:
    """The classes a set and a model are compared in.

    They are the model's, but where the set's name is the coarser one (EBO for ER2, ER3 and ER4) the model's
    classes are joined to it and their probabilities added.

    Attributes
    ----------
    taxonomy : Taxonomy
        k classes.
    place : dict of str to int
        Index of each of the set's names.
    joined : ndarray of float64, shape (model's classes, k)
        1 where a class of the model becomes one of ``taxonomy``.
    """

    taxonomy: Taxonomy
    place: dict[str, int]
    joined: Floats

    def join(self, probabilities: Floats) -> Floats:
        """Probabilities (…, model's classes) as probabilities (…, k)."""
        added: Floats = probabilities @ self.joined
        return added

    def truth(self, labels: Iterable[str]) -> Indices:
        """Class indices of labels."""
        return np.array([self.place[label] for label in labels], np.intp)


def shared_classes(labels: Iterable[str], taxonomy: Taxonomy, source: str) -> SharedClasses:
    """Find the classes in which ``labels`` and the classes of a model can be compared.

    Raises
    ------
    TaxonomyError
        The model has no class for a label, or one label is a part of another.
    """
    meant = {label: codes_meant(label, taxonomy) for label in sorted(set(labels))}
    unknown = [label for label, codes in meant.items() if not codes]
    if unknown:
        raise TaxonomyError(
            f"{source}: no class of the predictions means {', '.join(unknown)}; they tell apart "
            f"{', '.join(taxonomy.codes)}. Leave these cells out, or use predictions that know them."
        )
    coarse = {codes: label for label, codes in meant.items() if len(codes) > 1}
    for label, codes in meant.items():
        for group, name in coarse.items():
            if codes != group and set(codes) & set(group):
                raise TaxonomyError(f"{source}: {label} is a part of {name}; name the cells one way.")
    return _joined(meant, coarse, taxonomy)


def _joined(
    meant: dict[str, tuple[str, ...]], coarse: dict[tuple[str, ...], str], taxonomy: Taxonomy
) -> SharedClasses:
    group_of = {code: group for group in coarse for code in group}
    groups = list(dict.fromkeys(group_of.get(code, (code,)) for code in taxonomy.codes))
    classes = tuple(
        _coarse_class(coarse[group], taxonomy[group[0]]) if group in coarse else taxonomy[group[0]]
        for group in groups
    )
    joined = np.array([[float(code in group) for group in groups] for code in taxonomy.codes])
    place = {label: groups.index(codes) for label, codes in meant.items()}
    return SharedClasses(Taxonomy(taxonomy.name, classes), place, joined)


def _coarse_class(label: str, like: CellClass) -> CellClass:
    for preset in PRESETS.values():
        if label in preset.codes:
            return preset[label]
    return CellClass(label, label, like.lineage, like.colour, like.counted)
