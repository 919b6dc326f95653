"""What a finished run gives reason to say."""

from __future__ import annotations

from napari_deepheme.analysis.result import Analysis, Notice, NoticeKind
from napari_deepheme.analysis.stopping import Tally
from napari_deepheme.fields import FieldKind, judge_fields, seen
from napari_deepheme.jobs import Job
from napari_deepheme.slide.reader import Slide

_FEW_CELLS = 5  # below them one wants to know what the slide shows instead
_MOST_NAMED = 5


def conclusions(slide: Slide, analysis: Analysis, tally: Tally) -> Job[tuple[Notice, ...]]:
    """All notices of an analysis: those known before, damage, and too few cells."""
    few = yield from _few_cells(slide, analysis, tally.counted)
    anew = (NoticeKind.DAMAGED, NoticeKind.FEW_CELLS, NoticeKind.IMPRECISE)
    known = [notice for notice in analysis.notices if notice.kind not in anew]
    return (*known, *_damaged(analysis), *few, *_imprecise(tally))


def _imprecise(tally: Tally) -> list[Notice]:
    """That a class is not known as precisely as asked, though everything was counted."""
    rule, decision = tally.options.until, tally.decision
    if rule is None or decision is None or decision.enough:
        return []
    text = (
        f"{rule.code} is known to ± {100 * decision.half_width:.1f} points, not to ± "
        f"{100 * rule.half_width:g}: about {decision.more} more cells are needed, and no field is left to "
        "count. Search the whole slide, or count another slide of this smear."
    )
    return [Notice(NoticeKind.IMPRECISE, text)]


def _damaged(analysis: Analysis) -> list[Notice]:
    """Fields and units that could not be read."""
    unseen = [field.region.name for field in analysis.facts.fields if field.kind is FieldKind.DAMAGED]
    failures = {key: failure for key, failure in analysis.units.items() if failure}
    lost = dict.fromkeys(unseen, "a tile of the file is damaged.") | failures
    if not lost:
        return []
    total = len(analysis.facts.fields) or len(analysis.units)
    names = ", ".join([*lost][:_MOST_NAMED]) + (" …" if len(lost) > _MOST_NAMED else "")
    text = (
        f"{len(lost)} of {total} parts of the slide could not be read and are left out ({names}): "
        f"{next(iter(lost.values()))}"
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
