"""The cells that were drawn for an audit of an analysis."""

from __future__ import annotations

from dataclasses import dataclass

from napari_deepheme.stats.assessment import AssessmentOptions


@dataclass(frozen=True, slots=True)
class AuditDraw:
    """The cells of a random audit (see :mod:`napari_deepheme.analysis.audit`).

    Attributes
    ----------
    cells : tuple of int
        Their ids.
    who, when : str
        Who drew them, and the time in UTC, ISO 8601.
    options : AssessmentOptions
        By which cells were called when they were drawn.
    model : str
        Whose calls these were.
    """

    cells: tuple[int, ...]
    who: str
    when: str
    options: AssessmentOptions
    model: str
