"""Cell classes: codes, names, lineages, colours, what a differential counts.

Codes and counting roles follow DeepHeme (bioRxiv 2023.02.20.528987, Table 1) and ICSH 2008
(Lee et al., Int J Lab Hematol 30:349). Hue tells the lineage, lightness the maturation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

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
        CellClass("B1", "Mast cell", Lineage.BASOPHILIC, "#7a5195"),
        CellClass("B2", "Basophil", Lineage.BASOPHILIC, "#b07cc6", aliases=("BA",)),
        CellClass("E1", "Immature eosinophil", Lineage.EOSINOPHILIC, "#b3541e"),
        CellClass("E4", "Eosinophil", Lineage.EOSINOPHILIC, "#f28e2b", aliases=("EO",)),
        CellClass("ER1", "Pronormoblast", _E, "#7f0000"),
        CellClass("ER2", "Basophilic normoblast", _E, "#b3000f"),
        CellClass("ER3", "Polychromatophilic normoblast", _E, "#dd3f4e"),
        CellClass("ER4", "Orthochromic normoblast", _E, "#f58a8f"),
        CellClass("ER5", "Polychromatophilic erythrocyte", _E, "#f7b6b9", counted=False),
        CellClass("ER6", "Erythrocyte", _E, "#fbdcdd", counted=False),
        CellClass("L2", "Lymphocyte", _L, "#2ca02c", aliases=("LY",)),
        CellClass("L4", "Plasma cell", Lineage.PLASMA, "#9acd32"),
        CellClass("M1", "Blast", _G, "#0b1f52"),
        CellClass("M2", "Promyelocyte", _G, "#1f3f8f", aliases=("PMY",)),
        CellClass("M3", "Myelocyte", _G, "#2f66c4", aliases=("MY",)),
        CellClass("M4", "Metamyelocyte", _G, "#4f90e0", aliases=("MMY",)),
        CellClass("M5", "Band neutrophil", _G, "#7fb6f0", aliases=("BNE",)),
        CellClass("M6", "Segmented neutrophil", _G, "#b5d8fb", aliases=("SNE",)),
        CellClass("MO2", "Monocyte", Lineage.MONOCYTIC, "#17a2a2", aliases=("MO",)),
        CellClass("PL2", "Megakaryocyte", _O, "#c9a227", counted=False),
        CellClass("PL3", "Platelet clump", _O, "#e3cf86", counted=False),
        CellClass("U1", "Artefact", _O, "#8c8c8c", counted=False, aliases=("ART",)),
        CellClass("U4", "Mitotic body", _O, "#e377c2", counted=False),
    ),
)
"""DeepHeme's 23 classes in the networks' output order (sorted codes)."""

_ERYTHROBLAST = CellClass("EBO", "Erythroblast", _E, "#dd3f4e", aliases=("ERB",))

PBC_11 = Taxonomy(
    "pbc-11",
    tuple(
        _ERYTHROBLAST if code == "EBO" else DEEPHEME_23[code]
        for code in ("B2", "E4", "EBO", "L2", "M2", "M3", "M4", "M5", "M6", "MO2", "U1")
    ),
)
"""Ten classes of peripheral blood and the artefact; EBO is an erythroblast of unstated stage."""

PRESETS = {taxonomy.name: taxonomy for taxonomy in (DEEPHEME_23, PBC_11)}


def preset(name: str) -> Taxonomy:
    """The taxonomy called ``name``; unknown names raise :class:`TaxonomyError`."""
    try:
        return PRESETS[name]
    except KeyError:
        raise TaxonomyError(f"There is no taxonomy {name!r}; there are {', '.join(PRESETS)}.") from None


def known_classes(codes: Iterable[str]) -> Taxonomy:
    """A taxonomy of ``codes`` in their order, for tables that come without one.

    Codes no preset has become classes of their own: grey, named by the code, counted.
    """
    classes = {c.code: c for taxonomy in PRESETS.values() for c in taxonomy.classes}
    return Taxonomy(
        "table", tuple(classes.get(code, CellClass(code, code, Lineage.OTHER, "#8c8c8c")) for code in codes)
    )
