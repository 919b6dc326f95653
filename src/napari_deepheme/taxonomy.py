"""Cell classes: codes, names, lineages, colours, what a differential counts.

Codes and counting roles follow DeepHeme (bioRxiv 2023.02.20.528987, Table 1) and ICSH 2008
(Lee et al., Int J Lab Hematol 30:349). Hue tells the lineage, lightness the maturation;
``scripts/choose_palette.py`` chooses the colours so that lineages stay apart for colour-blind people too.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from pydantic import TypeAdapter, ValidationError

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

    def extended(self, codes: Iterable[str]) -> Taxonomy:
        """With the classes among ``codes`` that it lacks, such as labels of a person, at the end."""
        more = [code for code in dict.fromkeys(codes) if code not in self.codes]
        return Taxonomy(self.name, (*self.classes, *known_classes(more).classes)) if more else self

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


_G, _L, _E, _O = Lineage.GRANULOCYTIC, Lineage.LYMPHOID, Lineage.ERYTHROID, Lineage.OTHER

DEEPHEME_23 = Taxonomy(
    "deepheme-23",
    (
        CellClass("B1", "Mast cell", Lineage.BASOPHILIC, "#653499"),
        CellClass("B2", "Basophil", Lineage.BASOPHILIC, "#8b0a8b", aliases=("BA", "BAS")),
        CellClass("E1", "Immature eosinophil", Lineage.EOSINOPHILIC, "#b65713", aliases=("E0",)),
        CellClass("E4", "Eosinophil", Lineage.EOSINOPHILIC, "#b57205", aliases=("EO",)),
        CellClass("ER1", "Pronormoblast", _E, "#9f0029", aliases=("PEB",)),
        CellClass("ER2", "Basophilic normoblast", _E, "#a02715"),
        CellClass("ER3", "Polychromatophilic normoblast", _E, "#8a3b4e"),
        CellClass("ER4", "Orthochromic normoblast", _E, "#b41151"),
        CellClass("ER5", "Polychromatophilic erythrocyte", _E, "#b03842", counted=False),
        CellClass("ER6", "Erythrocyte", _E, "#a95c53", counted=False),
        CellClass("L2", "Lymphocyte", _L, "#c5ef9d", aliases=("LY", "LYT")),
        CellClass("L4", "Plasma cell", Lineage.PLASMA, "#e7eb0e", aliases=("PLM",)),
        CellClass("M1", "Blast", _G, "#3e5de6", aliases=("BLA",)),
        CellClass("M2", "Promyelocyte", _G, "#6e70cd", aliases=("PMY", "PMO")),
        CellClass("M3", "Myelocyte", _G, "#4683ff", aliases=("MY", "MYB")),
        CellClass("M4", "Metamyelocyte", _G, "#8b8dfe", aliases=("MMY", "MMZ")),
        CellClass("M5", "Band neutrophil", _G, "#5db7ff", aliases=("BNE", "NGB")),
        CellClass("M6", "Segmented neutrophil", _G, "#b2bdff", aliases=("SNE", "NGS")),
        CellClass("MO2", "Monocyte", Lineage.MONOCYTIC, "#00fde8", aliases=("MO", "MON")),
        CellClass("PL2", "Megakaryocyte", _O, "#b1a14e", counted=False),
        CellClass("PL3", "Platelet clump", _O, "#e4a51d", counted=False),
        CellClass("U1", "Artefact", _O, "#797979", counted=False, aliases=("ART", "KSC")),
        CellClass("U4", "Mitotic body", _O, "#dd2f8d", counted=False),
    ),
)
"""DeepHeme's 23 classes in the networks' output order (sorted codes)."""

_ERYTHROBLAST = CellClass("EBO", "Erythroblast", _E, "#8a3b4e", aliases=("ERB",))

PBC_11 = Taxonomy(
    "pbc-11",
    tuple(
        _ERYTHROBLAST if code == "EBO" else DEEPHEME_23[code]
        for code in ("B2", "E4", "EBO", "L2", "M2", "M3", "M4", "M5", "M6", "MO2", "U1")
    ),
)
"""Ten classes of peripheral blood and the artefact; EBO is an erythroblast of unstated stage."""

MUNICH_TO_DEEPHEME: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ART": ("U1",),
        "BAS": ("B2",),
        "BLA": ("M1",),
        "EBO": ("ER2", "ER3", "ER4"),
        "EOS": ("E1", "E4"),
        "KSC": ("U1",),
        "LYT": ("L2",),
        "MMZ": ("M4",),
        "MON": ("MO2",),
        "MYB": ("M3",),
        "NGB": ("M5",),
        "NGS": ("M6",),
        "PEB": ("ER1",),
        "PLM": ("L4",),
        "PMO": ("M2",),
    }
)
"""DeepHeme classes that each class of the Munich set covers; the six it leaves out have no counterpart."""


def _munich(code: str, of: str, name: str = "") -> CellClass:
    """The Munich class that is DeepHeme's ``of``: its lineage, colour and role."""
    known = DEEPHEME_23[of]
    aliases = tuple(alias for alias in (of, *known.aliases) if alias not in MUNICH_TO_DEEPHEME)
    return CellClass(code, name or known.name, known.lineage, known.colour, known.counted, aliases)


MUNICH_21 = Taxonomy(
    "munich-21",
    (
        CellClass("ABE", "Abnormal eosinophil", Lineage.EOSINOPHILIC, "#b65713"),
        _munich("ART", "U1"),
        _munich("BAS", "B2"),
        _munich("BLA", "M1"),
        _ERYTHROBLAST,
        CellClass("EOS", "Eosinophil", Lineage.EOSINOPHILIC, "#b57205", aliases=("EO",)),
        CellClass("FGC", "Faggot cell", _G, "#2695f0", aliases=("Faggott cell",)),
        CellClass("HAC", "Hairy cell", _L, "#a3eab9"),
        CellClass("KSC", "Smudge cell", _O, "#b9b9b9", counted=False),
        CellClass("LYI", "Immature lymphocyte", _L, "#8dc691"),
        _munich("LYT", "L2"),
        _munich("MMZ", "M4"),
        _munich("MON", "MO2"),
        _munich("MYB", "M3"),
        _munich("NGB", "M5"),
        _munich("NGS", "M6"),
        CellClass("NIF", "Not identifiable", _O, "#989898", counted=False),
        CellClass("OTH", "Other cell", _O, "#c5b213", counted=False),
        _munich("PEB", "ER1", "Proerythroblast"),
        _munich("PLM", "L4"),
        _munich("PMO", "M2"),
    ),
)
"""The 21 classes of Matek et al. 2021 (TCIA 10.7937/TCIA.AXH3-T579), sorted by code."""

OTHER_CLASSES = (
    CellClass("L0", "Lymphoblast", _L, "#00d28f"),
    CellClass("L1", "Haematogone", _L, "#7be989"),
    CellClass("L3", "Reactive or large granular lymphocyte", _L, "#56feb7"),
    CellClass("MO1", "Monoblast", Lineage.MONOCYTIC, "#00a8bd"),
    CellClass("PL1", "Immature megakaryocyte", _O, "#a38f61", counted=False),
    CellClass("PL4", "Giant platelet", _O, "#c59950", counted=False),
    CellClass("U2", "Unknown", _O, "#989898", counted=False),
    CellClass("U3", "Other", _O, "#c5b213", counted=False),
    CellClass("UL", "Unlabelled", _O, "#b9b9b9", counted=False),
)
"""Classes of HemeLabel, with which DeepHeme's cells were labelled, that no preset has."""

PRESETS = {taxonomy.name: taxonomy for taxonomy in (DEEPHEME_23, PBC_11, MUNICH_21)}


def preset(name: str) -> Taxonomy:
    """The taxonomy called ``name``; unknown names raise :class:`TaxonomyError`."""
    try:
        return PRESETS[name]
    except KeyError:
        raise TaxonomyError(f"There is no taxonomy {name!r}; there are {', '.join(PRESETS)}.") from None


def read_taxonomy(source: str) -> Taxonomy:
    """The preset of that name, or a taxonomy of one's own from a TOML file.

    The file has a ``name`` and, in the order of the outputs, a table ``[[classes]]`` per class with the
    fields of :class:`CellClass`.

    Raises
    ------
    TaxonomyError
        Neither a preset nor a file, a fault of the file, fewer than two classes, or a code that comes twice.
    """
    if source in PRESETS:
        return PRESETS[source]
    path = Path(source)
    if not path.is_file():
        raise TaxonomyError(f"{source} is no file and no taxonomy; there are {', '.join(PRESETS)}.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        taxonomy = TypeAdapter(Taxonomy).validate_python(values)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as err:
        raise TaxonomyError(f"{path} cannot be read as TOML ({err}).") from err
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TaxonomyError(f"{path}: {where}: {first['msg']}, got {first['input']!r}.") from err
    _check(taxonomy, values, path)
    return taxonomy


def _check(taxonomy: Taxonomy, values: Mapping[str, object], path: Path) -> None:
    """Refuse what the types allow: a misspelt field would be left out in silence."""
    classes = TypeAdapter(list[dict[str, object]]).validate_python(values["classes"])
    unknown = ({*values} - {"name", "classes"}) | ({k for c in classes for k in c} - {*CellClass.__slots__})
    if unknown:
        raise TaxonomyError(
            f"{path}: unknown fields {', '.join(sorted(unknown))}; "
            f"a class has {', '.join(CellClass.__slots__)}."
        )
    fault = fault_of(taxonomy)
    if fault:
        raise TaxonomyError(f"{path}: {fault}.")


def fault_of(taxonomy: Taxonomy) -> str:
    """Say what keeps a taxonomy from being counted and shown, or nothing."""
    twice = sorted({code for code in taxonomy.codes if taxonomy.codes.count(code) > 1})
    if twice or len(taxonomy.classes) < 2:
        what = f"codes {', '.join(twice)} come twice" if twice else "there are fewer than two classes"
        return f"{what}; expected two classes or more, each with a code of its own"
    for each in taxonomy.classes:
        if not re.fullmatch("#[0-9a-fA-F]{6}", each.colour):
            return f"colour {each.colour!r} of {each.code}; expected #rrggbb"
        if not each.code.strip() or not each.code.isprintable():
            return f"code {each.code!r}; expected printable characters"
    return ""


def known_classes(codes: Iterable[str]) -> Taxonomy:
    """A taxonomy of ``codes`` in their order, for tables that come without one.

    Codes that nothing here has become classes of their own: grey, named by the code, counted.
    """
    every = (*OTHER_CLASSES, *(c for taxonomy in PRESETS.values() for c in taxonomy.classes))
    classes = {c.code: c for c in every}
    return Taxonomy(
        "table", tuple(classes.get(code, CellClass(code, code, Lineage.OTHER, "#8c8c8c")) for code in codes)
    )


def recoloured(taxonomy: Taxonomy) -> Taxonomy:
    """A preset in the colours of today, whatever its bundle was made with; others stay as they are."""
    today = (
        {each.code: each.colour for each in PRESETS[taxonomy.name].classes}
        if taxonomy.name in PRESETS
        else {}
    )
    classes = tuple(replace(each, colour=today.get(each.code, each.colour)) for each in taxonomy.classes)
    return Taxonomy(taxonomy.name, classes)


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
