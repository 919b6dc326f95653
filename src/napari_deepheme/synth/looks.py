"""What tells the classes apart: size, colours, chromatin and granules, measured on real cells.

Sizes, nuclear areas and colours follow 60 cells a class of the PBC set (Acevedo et al., Data in Brief 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_deepheme.synth.stain import Colour


@dataclass(frozen=True, slots=True)
class Granules:
    """Granules of one kind: RGB, grain (µm), share of the cell they cover, how far they hide the nucleus."""

    colour: Colour
    radius_um: float
    cover: float
    over_nucleus: float = 0.0
    acid: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """Appearance of one class.

    Parameters
    ----------
    diameter_um, spread_um : float
        Mean and standard deviation of the cell's diameter.
    ragged : float
        How far the outline departs from a circle, relative to the radius.
    cytoplasm : tuple of Colour
        Two RGB colours between which a cell's cytoplasm lies.
    acid : bool
        Whether the cytoplasm takes up the acid (pink) dye rather than the basic (blue) one.
    nucleus : Colour
        Mean RGB of the nucleus.
    clumps : tuple of float
        Contrast of fine and of coarse chromatin, in absorbance.
    clump_um : float
        Size of the coarse chromatin.
    granules : tuple of Granules
    rim : float
        Extra absorbance at the cell's edge.
    vacuoles : float
        Mean number of vacuoles.
    golgi : float
        Strength of pale zones in the cytoplasm.
    wobble : float
        How far the outline of the nucleus strays from its plan, µm.
    joint : float
        Over how many µm lobes and folds of the nucleus melt into one another.
    """

    diameter_um: float
    spread_um: float
    ragged: float
    cytoplasm: tuple[Colour, Colour]
    nucleus: Colour
    clumps: tuple[float, float]
    acid: bool = False
    clump_um: float = 0.55
    granules: tuple[Granules, ...] = ()
    rim: float = 0.1
    vacuoles: float = 0.0
    golgi: float = 0.0
    wobble: float = 0.18
    joint: float = 0.8


_AZURE = (108.0, 40.0, 126.0)
_FINE = (142.0, 86.0, 148.0)

LOOKS: dict[str, Look] = {
    "B2": Look(
        13.0, 1.0, 0.03, ((184, 138, 178), (156, 116, 170)), (100, 52, 140), (0.20, 0.12),
        granules=(Granules((74, 31, 120), 0.24, 0.52, over_nucleus=0.85),), rim=0.05,
    ),
    "E4": Look(
        14.2, 0.9, 0.018, ((202, 130, 146), (184, 116, 140)), (88, 41, 130), (0.18, 0.12), acid=True,
        granules=(
            Granules((164, 74, 96), 0.19, 0.32, acid=True),
            Granules((228, 150, 148), 0.17, 0.16, acid=True),
        ),
        rim=0.15, vacuoles=0.8, joint=0.3,
    ),
    "EBO": Look(
        10.4, 0.8, 0.025, ((128, 124, 168), (178, 154, 178)), (74, 38, 125), (0.18, 0.18),
        clump_um=0.45, rim=0.22,
    ),
    "L2": Look(
        10.4, 0.9, 0.022, ((122, 116, 172), (164, 152, 194)), (86, 42, 134), (0.26, 0.13),
        clump_um=0.60, rim=0.25,
        granules=(Granules((120, 60, 140), 0.18, 0.006),),
    ),
    "M2": Look(
        16.2, 1.3, 0.025, ((146, 126, 182), (172, 142, 188)), (98, 47, 137), (0.30, 0.06),
        granules=(Granules(_AZURE, 0.20, 0.27, over_nucleus=0.25),), rim=0.25, golgi=0.40,
    ),
    "M3": Look(
        14.2, 1.0, 0.018, ((170, 144, 188), (190, 158, 188)), (90, 44, 134), (0.27, 0.09),
        granules=(Granules(_FINE, 0.15, 0.30), Granules(_AZURE, 0.16, 0.02)), rim=0.20, golgi=0.15,
    ),
    "M4": Look(
        13.9, 1.0, 0.018, ((188, 156, 188), (206, 172, 188)), (86, 42, 132), (0.23, 0.11),
        granules=(Granules(_FINE, 0.15, 0.28),), rim=0.18,
    ),
    "M5": Look(
        14.3, 1.0, 0.016, ((216, 176, 184), (226, 190, 188)), (84, 40, 133), (0.23, 0.13), acid=True,
        granules=(Granules((186, 132, 162), 0.16, 0.26),), rim=0.14, joint=0.3,
    ),
    "M6": Look(
        14.8, 1.0, 0.016, ((216, 176, 184), (228, 192, 188)), (82, 39, 132), (0.23, 0.14), acid=True,
        granules=(Granules((186, 132, 162), 0.16, 0.26),), rim=0.14, joint=0.3,
    ),
    "MO2": Look(
        16.2, 1.3, 0.035, ((166, 150, 184), (190, 172, 196)), (106, 55, 142), (0.28, 0.11), clump_um=0.60,
        granules=(Granules((140, 110, 168), 0.17, 0.12),), rim=0.15, vacuoles=4.0, wobble=0.45,
    ),
    "U1": Look(
        13.0, 2.5, 0.03, ((146, 76, 166), (98, 58, 152)), (125, 60, 155), (0.05, 0.10), clump_um=1.2, rim=0.0,
        wobble=0.45,
    ),
}  # fmt: skip

CLASS_CODES: tuple[str, ...] = tuple(LOOKS)
"""Codes of the classes that can be rendered; ``U1`` is an artefact."""
