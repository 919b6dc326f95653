"""What ``info`` tells of a slide or an analysis file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_deepheme.files import is_file

if TYPE_CHECKING:
    from napari_deepheme.analysis.result import Analysis

_SQLITE = b"SQLite format 3\x00"


def facts_of(place: str, mpp: float | None) -> dict[str, object]:
    """Names and values, of an analysis file or of a slide; content decides, not the name."""
    return _of_analysis(Path(place)) if is_analysis(Path(place)) else _of_slide(place, mpp)


def is_analysis(path: Path) -> bool:
    """Whether a file is an SQLite file, as an analysis is; content decides, not the name."""
    if not is_file(path):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _of_slide(path: str, mpp: float | None) -> dict[str, object]:
    from napari_deepheme.slide.reader import open_slide  # noqa: PLC0415  an analysis does not need it

    with open_slide(path, mpp=mpp) as slide:
        facts = slide.info
    return {
        "format": facts.format,
        "vendor": facts.vendor,
        "width": facts.shape[1],
        "height": facts.shape[0],
        "levels": [
            {"width": level.shape[1], "height": level.shape[0], "downsample": sum(level.downsample) / 2}
            for level in facts.levels
        ],
        "mpp": None if facts.mpp is None else sum(facts.mpp) / 2,
        "mpp_source": facts.mpp_source,
        "objective": facts.objective,
        "icc": facts.icc or None,
        "associated": list(facts.associated),
        "warnings": list(facts.warnings),
    }


def _of_analysis(path: Path) -> dict[str, object]:
    from napari_deepheme.store import open_analysis  # noqa: PLC0415  a slide does not need it

    with open_analysis(path) as file:
        analysis = file.analysis()
    facts, failed = analysis.facts, [key for key, failure in analysis.units.items() if failure]
    mpp = facts.slide.mpp
    return {
        "format": "DeepHeme analysis",
        "slide": str(facts.slide.path),
        "mpp": None if mpp is None else sum(mpp) / 2,
        "mpp_source": facts.slide.mpp_source,
        "model": analysis.model,
        **_learned(analysis),
        "detector": facts.detector or "given",
        "detection_threshold": facts.detection_threshold(),
        "target_cells": facts.options.target_cells,
        "finished": analysis.finished,
        "units": len(analysis.units),
        "failed_units": failed,
        "cells": len(analysis.counting().ids),
        "corrections": len(analysis.corrections),
        **_signed(analysis),
        "warnings": [notice.text for notice in analysis.notices],
    }


def in_words(facts: dict[str, object]) -> dict[str, object]:
    """The same for a person to read: a sign-off is the line that the window shows."""
    signed = facts.get("sign_off")
    return facts | {"sign_off": signed["status"]} if isinstance(signed, dict) else facts


def _learned(analysis: Analysis) -> dict[str, object]:
    """Which model the one in use learned on from, and from what, where it did."""
    learned, parent = analysis.learned, analysis.facts.bundle.parent
    if learned is not None:
        labels = {"labels": learned.cells, "who": learned.who, "when": learned.when}
        return {"parent": learned.parent, "learned": labels}
    return {} if parent is None else {"parent": f"{parent.name} {parent.version}"}


def _signed(analysis: Analysis) -> dict[str, object]:
    """The last sign-off, and whether it holds, where there is one."""
    from napari_deepheme.analysis.sign_off import review_status  # noqa: PLC0415  a slide does not need it

    if not analysis.sign_offs:
        return {}
    last, options = analysis.sign_offs[-1], analysis.facts.options.assessment
    status = review_status(analysis.sign_offs, analysis.corrections, options, analysis.model)
    signed = {"who": last.who, "when": last.when, "settled": last.settled, "to_review": last.to_review}
    return {"sign_off": signed | {"holds": status.holds, "status": status.line}}
