"""The taxonomies of DeepHeme, Munich and pbc-11, and the classes beside them.

Codes and counting roles follow DeepHeme (bioRxiv 2023.02.20.528987, Table 1) and ICSH 2008
(Lee et al., Int J Lab Hematol 30:349). Hue tells the lineage, lightness the maturation;
``scripts/choose_palette.py`` chooses the colours so that lineages stay apart for colour-blind people too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from napari_deepheme.errors import TaxonomyError
from napari_deepheme.taxonomy.classes import CellClass, Lineage, Taxonomy

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


def recoloured(taxonomy: Taxonomy) -> Taxonomy:
    """A preset in the colours of today, whatever its bundle was made with; others stay as they are."""
    today = (
        {each.code: each.colour for each in PRESETS[taxonomy.name].classes}
        if taxonomy.name in PRESETS
        else {}
    )
    classes = tuple(replace(each, colour=today.get(each.code, each.colour)) for each in taxonomy.classes)
    return Taxonomy(taxonomy.name, classes)
