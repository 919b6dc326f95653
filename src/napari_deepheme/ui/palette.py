"""How class colours are put on a smear so that they can be seen on glass and on red cells alike. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

from napari_deepheme.taxonomy import Taxonomy

HALO = "#1a1a1a"
"""Drawn around each ring: whatever the colour of a class, this can be told from glass and from red cells."""
GLASS, RED_CELLS = "#f5ebe1", "#dcaaa0"
"""What rings lie on in a stained smear."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Colours of a ring around a cell, ``#rrggbb``.

    Attributes
    ----------
    inner : str
        Of the class.
    halo : str
        Of the line around it.
    """

    inner: str
    halo: str = HALO


def ring_colours(taxonomy: Taxonomy) -> dict[str, Ring]:
    """Ring of each class code."""
    return {each.code: Ring(each.colour) for each in taxonomy.classes}


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours ``#rrggbb``, 1 to 21 (WCAG 2.2, relative luminance of sRGB)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
