"""Which classes a laboratory's labels are, and what they make of the parent's taxonomy. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.datasets.labels import listed
from napari_deepheme.errors import OptionError, TaxonomyError
from napari_deepheme.taxonomy import PRESETS, CellClass, Taxonomy, codes_meant

FEWEST = 3
"""Labels a class needs: one to learn from and one to judge by leave nothing to choose with."""


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """The classes of an adapted model: the parent's, then the new ones.

    Attributes
    ----------
    taxonomy : Taxonomy
    known : int
        Classes of the parent.
    labels : ndarray of intp, shape (n,)
        Class of each labelled cell.
    """

    taxonomy: Taxonomy
    known: int
    labels: NDArray[np.intp]

    @property
    def counts(self) -> dict[str, int]:
        """Labels of each class, by code."""
        numbers = np.bincount(self.labels, minlength=len(self.taxonomy.classes))
        return dict(zip(self.taxonomy.codes, numbers.tolist(), strict=True))

    @property
    def new(self) -> tuple[CellClass, ...]:
        """Classes the parent does not know."""
        return self.taxonomy.classes[self.known :]


def resolved(labels: Sequence[str], parent: Taxonomy, own: Taxonomy | None = None) -> Classes:
    """Find the class of each label: of ``own`` where it is named there, else the parent's, else a preset's.

    Parameters
    ----------
    labels : sequence of str
        Codes, names or aliases.
    parent : Taxonomy
    own : Taxonomy, optional
        Classes of the laboratory; those whose code the parent has are the parent's.

    Raises
    ------
    TaxonomyError
        A label is unknown, or covers several classes of the parent.
    OptionError
        Fewer than three labels of a class, or only one class, which the parent knows.
    """
    meant = {label: _meant(label, parent, own) for label in sorted(set(labels))}
    classes = list(parent.classes)
    for cell_class in meant.values():
        if cell_class.code not in {each.code for each in classes}:
            classes.append(cell_class)
    name = parent.name if len(classes) == len(parent.classes) else f"{parent.name}-adapted"
    taxonomy = Taxonomy(name, tuple(classes))
    found = np.array([taxonomy.codes.index(meant[label].code) for label in labels], np.intp)
    _check_enough(found, taxonomy, len(parent.classes))
    return Classes(taxonomy, len(parent.classes), found)


def _meant(label: str, parent: Taxonomy, own: Taxonomy | None) -> CellClass:
    mine = () if own is None else codes_meant(label, own)
    if own is not None and len(mine) == 1:
        return parent[mine[0]] if mine[0] in parent.codes else own[mine[0]]
    known = codes_meant(label, parent)
    if len(known) > 1:
        raise TaxonomyError(
            f"{label} covers {', '.join(known)} of the model, so its cells cannot teach which; relabel them "
            "as one of these classes, or leave them out."
        )
    if known:
        return parent[known[0]]
    for preset in PRESETS.values():
        codes = codes_meant(label, preset)
        if len(codes) == 1:
            return preset[codes[0]]
    raise TaxonomyError(
        f"No known class means {label!r}; the model has {', '.join(parent.codes)}. Rename the label, or "
        "describe your class in a taxonomy file and give it with --taxonomy."
    )


def _check_enough(labels: NDArray[np.intp], taxonomy: Taxonomy, known: int) -> None:
    counts = Counter(labels.tolist())
    few = [f"{taxonomy.codes[k]} ({n})" for k, n in sorted(counts.items()) if n < FEWEST]
    if few:
        raise OptionError(
            f"Fewer than {FEWEST} labelled cells of {listed(few)}; label more of them, or leave them out."
        )
    only = next(iter(counts), 0)
    if len(counts) == 1 and only < known:
        raise OptionError(
            f"Only cells of {taxonomy.codes[only]} are labelled, which the model knows: that teaches it to "
            "say nothing else; label cells of at least one other class."
        )
