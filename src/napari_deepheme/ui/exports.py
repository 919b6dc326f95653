"""What can be written of an analysis, and the jobs that write it. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from napari_deepheme.analysis.result import Analysis
from napari_deepheme.errors import OptionError
from napari_deepheme.export import Format, export_cells, write_csv
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide import open_slide
from napari_deepheme.taxonomy.own_colours import Palette
from napari_deepheme.ui.session import Session


@dataclass(frozen=True, slots=True)
class Kind:
    """How a thing is offered.

    Attributes
    ----------
    title, tooltip : str
    ending : str
        Of the file's name, after the slide's; empty for a folder.
    needs_analysis : bool
        Whether a table that was read does not have it.
    """

    title: str
    ending: str
    tooltip: str
    needs_analysis: bool = False


class Export(Enum):
    """What can be written."""

    CSV = Kind("Cells as &CSV…", f"cells.{Format.CSV}", "One line per cell; opens again in napari.")
    GEOJSON = Kind("Cells as &GeoJSON…", f"cells.{Format.GEOJSON}", "Detections for QuPath.", True)
    PARQUET = Kind("Cells as &Parquet…", f"cells.{Format.PARQUET}", "For data frames.", True)
    DIFFERENTIAL = Kind(
        "&Differential as CSV…", "differential.csv", "One line per class: count, share, interval."
    )
    HTML = Kind("&Report as HTML…", "report.html", "One page that needs nothing else.", True)
    PDF = Kind("Report as P&DF…", "report.pdf", "The same to print and to keep.", True)
    TRAINING_SET = Kind(
        "&Training set…", "", "Crops of the cells you named, a folder a class, for train and adapt.", True
    )
    PICTURE = Kind("P&icture of the view…", "view.png", "What you see of the slide, with the legend.")


def export_job(session: Session, what: Export, path: Path) -> Job[str]:
    """Write it; gives what a person should know beside that it is written, or nothing.

    Everything that is asked of the session is taken now: a person may go on correcting meanwhile.
    """
    analysis, options = session.analysis, session.options
    palette = {each.code: each.colour for each in session.taxonomy.classes}
    if what is Export.DIFFERENTIAL:
        count = session.differential.table()
        return _at_once(lambda: write_csv(count, path))
    if analysis is None:
        if what is not Export.CSV:
            raise OptionError(f"{session.name} is a table: of its cells only CSV can be written.")
        table = session.table.copy()
        return _at_once(lambda: write_csv(table, path))
    if what in (Export.CSV, Export.GEOJSON, Export.PARQUET):
        return _at_once(lambda: export_cells(analysis, path, options, palette))
    facts = analysis.facts
    chosen = replace(analysis, facts=replace(facts, options=replace(facts.options, assessment=options)))
    if what is Export.TRAINING_SET:
        return _training_set(chosen, path)
    return _report(chosen, path, palette)


def _at_once(write: Callable[[], None]) -> Job[str]:
    yield Progress("Writing")
    write()
    return ""


def _report(analysis: Analysis, path: Path, palette: Palette) -> Job[str]:
    yield Progress("Writing the report")
    from napari_deepheme.report.making import write_report_of  # noqa: PLC0415  matplotlib takes a second

    return write_report_of(analysis, path, palette)


def _training_set(analysis: Analysis, folder: Path) -> Job[str]:
    from napari_deepheme.export.training_set import write_training_set  # noqa: PLC0415

    mpp = analysis.facts.slide.mpp
    with open_slide(analysis.facts.slide.path, mpp=mpp[0] if mpp is not None else None) as slide:
        n = yield from write_training_set(analysis, slide, folder)
    return f"{n} crops; train {folder.name} --mpp {analysis.facts.bundle.mpp:g} learns from them."
