"""Cell classes: codes, names, lineages, colours, what a differential counts."""

from napari_deepheme.taxonomy.classes import MATURATION_LINES, CellClass, Lineage, Taxonomy, fault_of
from napari_deepheme.taxonomy.names import codes_meant, extended, known_classes
from napari_deepheme.taxonomy.own import read_taxonomy
from napari_deepheme.taxonomy.presets import (
    DEEPHEME_23,
    MUNICH_21,
    MUNICH_TO_DEEPHEME,
    OTHER_CLASSES,
    PBC_11,
    PRESETS,
    preset,
    recoloured,
)

__all__ = [
    "DEEPHEME_23",
    "MATURATION_LINES",
    "MUNICH_21",
    "MUNICH_TO_DEEPHEME",
    "OTHER_CLASSES",
    "PBC_11",
    "PRESETS",
    "CellClass",
    "Lineage",
    "Taxonomy",
    "codes_meant",
    "extended",
    "fault_of",
    "known_classes",
    "preset",
    "read_taxonomy",
    "recoloured",
]
