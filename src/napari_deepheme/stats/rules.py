"""Counting rules: what is counted, what a cell may not be called, and which indices are formed.

Two habits for classes that are left out give different counts: *drop the cell*, or *mask the class*, so that
the cell takes its next likely one. A rule names the classes of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_deepheme.errors import OptionError
from napari_deepheme.stats.own_file import read_own
from napari_deepheme.taxonomy import DEEPHEME_23, MUNICH_TO_DEEPHEME, PRESETS, CellClass, Taxonomy

_FOLDER = Path(__file__).parent / "counting_rules"
DEFAULT_RULE = "icsh"


class IndexRule(BaseModel):
    """A ratio of two groups of classes that share no cell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    numerator: tuple[str, ...] = Field(min_length=1)
    denominator: tuple[str, ...] = Field(min_length=1)
    text: str = ""


class CountingRule(BaseModel):
    """What a differential counts.

    Attributes
    ----------
    name, title, source : str
    not_counted, counted : tuple of str
        Classes whose cells are dropped, or counted, other than the taxonomy says.
    masked : tuple of str
        Classes no cell may be called.
    mitoses : tuple of str
        Classes of cells in division, for the mitotic indices.
    indices : mapping of str to IndexRule
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str
    source: str = ""
    not_counted: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    mitoses: tuple[str, ...] = ()
    indices: Mapping[str, IndexRule] = {}

    def masked_codes(self, taxonomy: Taxonomy) -> frozenset[str]:
        """Codes of a taxonomy no cell may be called under this rule."""
        return frozenset(codes_of(self.masked, taxonomy))

    def counted_codes(self, taxonomy: Taxonomy) -> frozenset[str]:
        """Codes of a taxonomy that this rule counts."""
        kept = taxonomy.counted_codes - set(codes_of(self.not_counted, taxonomy))
        return frozenset(kept | set(codes_of(self.counted, taxonomy))) - self.masked_codes(taxonomy)

    def check_for(self, taxonomy: Taxonomy) -> None:
        """Refuse codes that neither the taxonomy nor any known one has: misspelt, they would be ignored.

        Raises
        ------
        OptionError
            There is such a code.
        """
        used = {*self.not_counted, *self.counted, *self.masked, *self.mitoses}
        used |= {code for i in self.indices.values() for code in (*i.numerator, *i.denominator)}
        everything = (taxonomy, *PRESETS.values())
        known = {name for t in everything for c in t.classes for name in (c.code, *c.aliases)}
        if used - known:
            raise OptionError(
                f"The counting rule {self.title} names {', '.join(sorted(used - known))}, which no taxonomy "
                f"has; the classes of {taxonomy.name} are {', '.join(taxonomy.codes)}."
            )

    def describe(self, taxonomy: Taxonomy) -> str:
        """The rule in a sentence for a person: what is masked, what is dropped."""
        masked = sorted(self.masked_codes(taxonomy))
        dropped = [c for c in taxonomy.codes if c not in self.counted_codes(taxonomy) and c not in masked]
        parts = [self.title]
        if masked:
            parts.append(f"no cell is called {_named(masked, taxonomy)}: it takes its next likely class")
        if dropped:
            parts.append(f"not counted: {_named(dropped, taxonomy)}")
        return "; ".join(parts)


def embedded_rules() -> tuple[str, ...]:
    """Names of the rules that come with the package, the default first."""
    names = sorted(path.stem for path in _FOLDER.glob("*.toml"))
    return (DEFAULT_RULE, *(name for name in names if name != DEFAULT_RULE))


@cache
def counting_rule(source: str = DEFAULT_RULE) -> CountingRule:
    """The rule of that name, or one's own from a TOML file with the fields of :class:`CountingRule`.

    Raises
    ------
    OptionError
        Neither a rule's name nor a file, or a fault of the file.
    """
    rule = read_own(CountingRule, source, _FOLDER, embedded_rules(), "counting rule")
    _check(rule, source)
    return rule


def labels_under(
    rule: CountingRule,
    labels: Sequence[str] | NDArray[np.object_],
    taxonomy: Taxonomy,
    probabilities: NDArray[np.floating] | None = None,
    by_person: NDArray[np.bool_] | None = None,
) -> NDArray[np.object_]:
    """Labels of n cells once no cell is called a masked class.

    Parameters
    ----------
    rule : CountingRule
    labels : sequence of str, length n
    taxonomy : Taxonomy
    probabilities : ndarray, shape (n, k), optional
        Needed if a model called a cell a masked class; the likeliest of the others is taken.
    by_person : ndarray of bool, shape (n,), optional
        Cells a person named; they keep their label and, if it is masked, are not counted.

    Raises
    ------
    OptionError
        A masked class occurs, and the probabilities are not known or every class is masked.
    """
    named = np.asarray(labels, dtype=object).copy()
    masked = rule.masked_codes(taxonomy)
    again = np.isin(named, list(masked)) if len(named) else np.zeros(0, bool)
    if by_person is not None:
        again &= ~by_person
    if not again.any():
        return named
    if probabilities is None:
        raise OptionError(
            f"The rule {rule.title} masks {', '.join(sorted(masked))}, and the probabilities of the cells "
            "called so are not known; give cells with probabilities, or count by another rule."
        )
    codes = np.array(taxonomy.codes, dtype=object)
    allowed = np.array([code not in masked for code in taxonomy.codes])
    if not allowed.any():
        raise OptionError(
            f"The rule {rule.title} masks every class of {taxonomy.name}; leave one that cells can be."
        )
    named[again] = codes[np.where(allowed, probabilities[again], -1.0).argmax(axis=1)]
    return named


def codes_of(names: Iterable[str], taxonomy: Taxonomy) -> tuple[str, ...]:
    """Codes of a taxonomy that are named, by code or alias, in its order; what it lacks is left out."""
    wanted = set(names)
    return tuple(c.code for c in taxonomy.classes if wanted & {c.code, *c.aliases})


def unknown_classes(taxonomy: Taxonomy) -> tuple[CellClass, ...]:
    """Classes of a marrow (DeepHeme's 23) that a taxonomy has no class for: its models cannot know them.

    Such cells are called something else. A coarser class, such as an erythroblast of unstated stage, covers
    the finer ones.
    """
    coarse = {part for code in taxonomy.codes for part in MUNICH_TO_DEEPHEME.get(code, ())}
    return tuple(
        c
        for c in DEEPHEME_23.classes
        if c.code not in coarse and not codes_of((c.code, *c.aliases), taxonomy)
    )


def _check(rule: CountingRule, source: str) -> None:
    for key, index in rule.indices.items():
        twice = sorted(set(index.numerator) & set(index.denominator))
        if twice:
            raise OptionError(
                f"The counting rule {source}: index {key} has {', '.join(twice)} above and below; "
                "its interval needs two groups that share no class."
            )


def _named(codes: Iterable[str], taxonomy: Taxonomy) -> str:
    return ", ".join(taxonomy[code].name.lower() for code in codes)
