"""Class names and codes of public sets and people, found among the classes that are known."""

from __future__ import annotations

from collections.abc import Iterable

from napari_deepheme.taxonomy.classes import CellClass, Lineage, Taxonomy
from napari_deepheme.taxonomy.presets import MUNICH_TO_DEEPHEME, OTHER_CLASSES, PRESETS


def known_classes(codes: Iterable[str]) -> Taxonomy:
    """A taxonomy of ``codes`` in their order, for tables that come without one.

    Codes that nothing here has become classes of their own: grey, named by the code, counted.
    """
    every = (*OTHER_CLASSES, *(c for taxonomy in PRESETS.values() for c in taxonomy.classes))
    classes = {c.code: c for c in every}
    return Taxonomy(
        "table", tuple(classes.get(code, CellClass(code, code, Lineage.OTHER, "#8c8c8c")) for code in codes)
    )


def extended(taxonomy: Taxonomy, codes: Iterable[str]) -> Taxonomy:
    """A taxonomy with the classes among ``codes`` that it lacks, such as labels of a person, at the end."""
    more = [code for code in dict.fromkeys(codes) if code not in taxonomy.codes]
    return Taxonomy(taxonomy.name, (*taxonomy.classes, *known_classes(more).classes)) if more else taxonomy


def codes_meant(name: str, taxonomy: Taxonomy) -> tuple[str, ...]:
    """Codes of ``taxonomy`` that a class name of any public set covers; none if it has no such class.

    Several where the name is the coarser one: EBO is ER2, ER3 and ER4 in ``deepheme-23``. Upper and lower
    case are the same.
    """
    wanted = name.casefold()
    named = [c.code for c in taxonomy.classes if wanted in _names(c)]
    if named:
        return (named[0],)
    synonyms = {
        alias for p in PRESETS.values() for c in p.classes if wanted in _names(c) for alias in _codes(c)
    }
    finer = {code for known in synonyms for code in MUNICH_TO_DEEPHEME.get(known, ())}
    coarser = {code for code, parts in MUNICH_TO_DEEPHEME.items() if synonyms & set(parts)}
    for candidates in (synonyms, finer, coarser):
        found = tuple(code for code in taxonomy.codes if code in candidates)
        if found:
            return found
    return ()


def _names(cell_class: CellClass) -> set[str]:
    return {name.casefold() for name in (*_codes(cell_class), cell_class.name)}


def _codes(cell_class: CellClass) -> tuple[str, ...]:
    return (cell_class.code, *cell_class.aliases)
