"""How the frozen networks of a parent look at the cells of a laboratory. No torch here."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """One way to look at cells.

    Attributes
    ----------
    matched : bool
        Whether their stain is matched to the parent's.
    own_norm : bool
        Whether batch normalisation has statistics of the laboratory's labelled cells in it (Li 2016,
        "Revisiting batch normalization for practical domain adaptation", arXiv:1603.04779).
    """

    matched: bool
    own_norm: bool = False
