"""What a class of cell is, and a taxonomy: the classes that a model tells apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from napari_deepheme.errors import TaxonomyError


class Lineage(StrEnum):
    """The line a cell belongs to; the grouping of the differential."""

    GRANULOCYTIC = "granulocytic"
    EOSINOPHILIC = "eosinophilic"
    BASOPHILIC = "basophilic"
    MONOCYTIC = "monocytic"
    LYMPHOID = "lymphoid"
    PLASMA = "plasma cell"
    ERYTHROID = "erythroid"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CellClass:
    """One class of cell.

    Attributes
    ----------
    code : str
        Short code, the network's output name.
    name : str
        English name, singular.
    lineage : Lineage
    colour : str
        ``#rrggbb``, the same in points, tables, charts and reports.
    counted : bool
        Whether the ICSH nucleated differential count includes it.
    aliases : tuple of str
        Folder and class names of public data sets that mean this class.
    """

    code: str
    name: str
    lineage: Lineage
    colour: str
    counted: bool = True
    aliases: tuple[str, ...] = ()


_LONGEST = 100
"""Characters of a code or name."""

MATURATION_LINES = (
    ("M1", "M2", "M3", "M4", "M5", "M6"),
    ("E1", "E4"),
    ("ER1", "ER2", "ER3", "ER4", "ER5", "ER6"),
    ("ER1", "EBO", "ER5"),
    ("LYI", "LYT"),
)
"""Stages from the youngest on, neighbours one step apart (Matek et al., Blood 2021;138:1917).
EBO, an erythroblast of unstated stage, stands for the stages between ER1 and ER5."""


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The classes a model tells apart, in the order of its outputs."""

    name: str
    classes: tuple[CellClass, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """Class codes in output order."""
        return tuple(cell_class.code for cell_class in self.classes)

    @property
    def counted_codes(self) -> frozenset[str]:
        """Codes the differential counts."""
        return frozenset(cell_class.code for cell_class in self.classes if cell_class.counted)

    @property
    def lines(self) -> tuple[tuple[str, ...], ...]:
        """Maturation lines in the codes of this taxonomy; a stage it lacks cuts its line in two."""
        own = {alias: c.code for c in self.classes for alias in c.aliases} | {c: c for c in self.codes}
        lines = []
        for stages in MATURATION_LINES:
            for known, run in groupby(stages, own.__contains__):
                line = tuple(own[stage] for stage in run) if known else ()
                if len(line) > 1:
                    lines.append(line)
        return tuple(lines)

    def __getitem__(self, code: str) -> CellClass:
        for cell_class in self.classes:
            if cell_class.code == code:
                return cell_class
        raise TaxonomyError(f"Taxonomy {self.name} has no class {code!r}; it knows {', '.join(self.codes)}.")

    def resolve(self, names: Iterable[str]) -> tuple[str, ...]:
        """Codes for class names of public data sets; unknown names raise :class:`TaxonomyError`."""
        known = {alias: c.code for c in self.classes for alias in (*c.aliases, c.name, c.code)}
        wanted = tuple(names)
        unknown = sorted({name for name in wanted if name not in known})
        if unknown:
            raise TaxonomyError(
                f"Taxonomy {self.name} does not know the classes {', '.join(unknown)}; "
                f"it knows {', '.join(sorted(known))}."
            )
        return tuple(known[name] for name in wanted)


def fault_of(taxonomy: Taxonomy) -> str:
    """Say what keeps a taxonomy from being counted and shown, or nothing."""
    twice = sorted({code for code in taxonomy.codes if taxonomy.codes.count(code) > 1})
    if twice or len(taxonomy.classes) < 2:
        what = f"codes {', '.join(twice)} come twice" if twice else "there are fewer than two classes"
        return f"{what}; expected two classes or more, each with a code of its own"
    for each in taxonomy.classes:
        if not re.fullmatch("#[0-9a-fA-F]{6}", each.colour):
            return f"colour {each.colour!r} of {each.code}; expected #rrggbb"
        for what, text in (("code", each.code), ("name", each.name)):
            if not text.strip() or not text.isprintable() or len(text) > _LONGEST:
                return f"{what} {text[:50]!r}; expected 1 to {_LONGEST} printable characters"
    return ""
