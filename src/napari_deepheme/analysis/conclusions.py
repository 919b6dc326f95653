"""What a finished run gives reason to say."""

from __future__ import annotations

from napari_deepheme.analysis.result import Analysis, Notice, NoticeKind
from napari_deepheme.fields import judge_fields, seen
from napari_deepheme.jobs import Job
from napari_deepheme.slide.reader import Slide

_FEW_CELLS = 5  # below them one wants to know what the slide shows instead
_MOST_NAMED = 5


def conclusions(slide: Slide, analysis: Analysis, counted: int) -> Job[tuple[Notice, ...]]:
    """All notices of an analysis: those known before, damage, and too few cells."""
    few = yield from _few_cells(slide, analysis, counted)
    anew = (NoticeKind.DAMAGED, NoticeKind.FEW_CELLS)
    known = [notice for notice in analysis.notices if notice.kind not in anew]
    return (*known, *_damaged(analysis), *few)


def _damaged(analysis: Analysis) -> list[Notice]:
    """Units that could not be read."""
    failed = [key for key, failure in analysis.units.items() if failure]
    if not failed:
        return []
    names = ", ".join(failed[:_MOST_NAMED]) + (" …" if len(failed) > _MOST_NAMED else "")
    first = next(failure for failure in analysis.units.values() if failure)
    text = (
        f"{len(failed)} of {len(analysis.units)} parts of the slide could not be read and are left out "
        f"({names}): {first}"
    )
    return [Notice(NoticeKind.DAMAGED, text)]


def _few_cells(slide: Slide, analysis: Analysis, counted: int) -> Job[list[Notice]]:
    """What the slide shows where it holds fewer cells than were to be counted, or hardly any."""
    facts, options = analysis.facts, analysis.facts.options
    found, wanted = len(analysis.counting().cells), options.target_cells
    enough = counted >= wanted if wanted else found >= _FEW_CELLS
    if options.regions or options.cells is not None or enough:
        return []
    asked = f"; {wanted} were asked for" if wanted else ""
    sentences = [f"{found} cells found, {counted} counted{asked}."]
    fields = facts.fields or (yield from judge_fields(slide))
    if found < _FEW_CELLS or len(facts.regions) < len(fields):
        sentences.append(seen(fields))
    if facts.fields and len(facts.regions) < len(fields):
        sentences.append("To search all of it, ask for the whole slide.")
    return [Notice(NoticeKind.FEW_CELLS, " ".join(sentences))]
