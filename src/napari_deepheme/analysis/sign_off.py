"""A person's word that a review is done: appended, never changed, withdrawn by a later correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_deepheme.analysis.corrections import Correction
from napari_deepheme.stats.assessment import AssessmentOptions


@dataclass(frozen=True, slots=True)
class SignOff:
    """What a person signed.

    Attributes
    ----------
    who : str
    when : str
        Time in UTC, ISO 8601.
    settled, to_review : int
        Cells to review that a person had settled, and all cells to review.
    correction : int
        Id of the last correction there was; 0 without one.
    model : str
        Name and version of the model in use.
    options : AssessmentOptions
        The thresholds in force.
    """

    who: str
    when: str
    settled: int
    to_review: int
    correction: int
    model: str
    options: AssessmentOptions


@dataclass(frozen=True, slots=True)
class ReviewStatus:
    """Whether the last sign-off holds, and a line for a person."""

    holds: bool
    line: str


def review_status(
    signed: Sequence[SignOff], corrections: Sequence[Correction], options: AssessmentOptions, model: str
) -> ReviewStatus:
    """What the sign-offs of an analysis are worth as it stands now; an empty line where there is none."""
    if not signed:
        return ReviewStatus(holds=False, line="")
    last = signed[-1]
    said = f"{last.who}, {day(last.when)}; {last.settled} of {last.to_review} settled"
    why = _withdrawn(last, corrections, options, model)
    if why:
        return ReviewStatus(holds=False, line=f"Sign-off by {said}: withdrawn by {why}")
    return ReviewStatus(holds=True, line=f"Reviewed by {said}")


def day(when: str) -> str:
    """Date and minute of a time in UTC, as people write it."""
    return f"{when[:16].replace('T', ' ')} UTC"


def _withdrawn(
    last: SignOff, corrections: Sequence[Correction], options: AssessmentOptions, model: str
) -> str:
    """What happened since, in words; nothing where all is as it was signed."""
    later = [each for each in corrections if each.id > last.correction]
    if later:
        number = "a later correction" if len(later) == 1 else f"{len(later)} later corrections"
        return f"{number} ({later[-1].who}, {day(later[-1].when)})"
    if model != last.model:
        return f"another model in use ({model}, then {last.model})"
    return "moved thresholds" if options != last.options else ""
