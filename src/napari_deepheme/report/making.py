"""The report of an analysis from all that is at hand: the slide, if it is there, and the model's card."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from napari_deepheme.analysis.result import Analysis
from napari_deepheme.classify.bundle import load_bundle
from napari_deepheme.errors import DeepHemeError
from napari_deepheme.models.bundle import embedded_bundles
from napari_deepheme.report.analysis import slide_report
from napari_deepheme.report.slide import write_slide_report
from napari_deepheme.slide.reader import open_slide
from napari_deepheme.stats.references import embedded_references
from napari_deepheme.taxonomy.own_colours import Palette


def write_report_of(
    analysis: Analysis,
    path: Path,
    palette: Palette | None = None,
    references: Sequence[str] = embedded_references(),
) -> str:
    """Write the report of an analysis as HTML or PDF; gives what it lacks, in a sentence, or nothing.

    Parameters
    ----------
    analysis : Analysis
    path : Path
    palette : mapping of str to str, optional
        Own colours ``#rrggbb`` by class code.
    references : sequence of str
        Sets of reference ranges to read beside the count, by name or TOML file.

    Raises
    ------
    OptionError
        There is no such set of reference ranges.
    OutputError
        The name ends in neither, or the file cannot be written.
    """
    facts = analysis.facts
    bundle = load_bundle(facts.bundle.name) if facts.bundle.name in embedded_bundles() else None
    card = bundle.card if bundle is not None and bundle.spec == facts.bundle else ""
    lacking = ""
    with ExitStack() as stack:
        slide = None
        try:
            mpp = facts.slide.mpp and facts.slide.mpp[0]
            slide = stack.enter_context(open_slide(facts.slide.path, mpp=mpp))
        except DeepHemeError as err:
            lacking = f"The report has no pictures of the slide: {err}"
        write_slide_report(slide_report(analysis, slide, card, palette, references), path)
    return lacking
