"""How the frozen networks of a parent look at the cells of a laboratory. No torch here."""

from __future__ import annotations

from typing import NamedTuple

from napari_deepheme.classify.stain import StainMatching


class Look(NamedTuple):
    """One way to look at cells.

    Attributes
    ----------
    stain : StainMatching
        In which views their stain is matched to the parent's.
    own_norm : bool
        Whether batch normalisation has statistics of the laboratory's labelled cells in it (Li 2016,
        "Revisiting batch normalization for practical domain adaptation", arXiv:1603.04779).
    """

    stain: StainMatching
    own_norm: bool = False
