"""The report of a slide: all a person needs to judge its count, on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.errors import OutputError
from napari_deepheme.report.method import CAPTIONS_IN_WORDS, METHODS_IN_WORDS, method_notes
from napari_deepheme.report.parts import data_url, page, percent, percents, write_file
from napari_deepheme.report.pictures import differential_chart, entropy_chart, overview_picture
from napari_deepheme.stats.clustering import FieldVariation
from napari_deepheme.stats.differential import Differential
from napari_deepheme.stats.exchangeability import Exchangeability
from napari_deepheme.stats.quantify import Quantification, intervals_in_words
from napari_deepheme.stats.references import Comparison, ReferenceSet
from napari_deepheme.taxonomy import CellClass, Taxonomy


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A cell to show: pixels (p, p, 3) of uint8, and a few words under it."""

    pixels: NDArray[np.uint8]
    caption: str


@dataclass(frozen=True, slots=True, eq=False)
class GalleryRow:
    """Cells of a class: those the model is surest of, and those it doubts most."""

    cell_class: CellClass
    typical: tuple[Crop, ...]
    doubtful: tuple[Crop, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """The slide at a glance: pixels (h, w, 3) of uint8, and outlines (v, 2) of the fields, (y, x) in them."""

    pixels: NDArray[np.uint8]
    fields: tuple[NDArray[np.float64], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ReviewState:
    """How sure the calls are and what a review made of them.

    ``entropy`` (n,) in nats, and the ``threshold`` above which a cell is to be reviewed; ``statements`` are
    sentences; ``changed`` counts relabelled cells by (the model's, the person's).
    """

    entropy: NDArray[np.float64]
    threshold: float
    statements: tuple[str, ...] = ()
    changed: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Correction:
    """One change a person made."""

    when: str
    who: str
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class SlideReport:
    """All that a report tells; what is None or empty is said to be missing, or left out.

    Attributes
    ----------
    slide, created : str
        Name of the slide; date and time as text.
    taxonomy : Taxonomy
        All classes, in the colours that the report shows.
    differential : Differential
    review : ReviewState
    exchangeability : Exchangeability or None
    correction : Quantification or None
        Corrected shares of the k classes of the taxonomy; None where none may be stated of this slide.
    methods : tuple of Quantification
        Shares by every method that may be stated of this slide, the one to believe most last.
    refusals : mapping of str to str
        Why there are no shares, by the methods that give none.
    references : tuple of (ReferenceSet, tuple of Comparison)
    overview : Overview or None
    gallery : tuple of GalleryRow
    variation : FieldVariation or None
    corrections : tuple of Correction
    notices : tuple of str
    facts : mapping of str to mapping of str to str
        Tables of names and values by heading: slide, model, options, versions, hashes.
    card : str
        The model card.
    """

    slide: str
    created: str
    taxonomy: Taxonomy
    differential: Differential
    review: ReviewState
    exchangeability: Exchangeability | None = None
    correction: Quantification | None = None
    methods: tuple[Quantification, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    references: tuple[tuple[ReferenceSet, tuple[Comparison, ...]], ...] = ()
    overview: Overview | None = None
    gallery: tuple[GalleryRow, ...] = ()
    variation: FieldVariation | None = None
    corrections: tuple[Correction, ...] = ()
    notices: tuple[str, ...] = ()
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    card: str = ""

    @property
    def intervals_in_words(self) -> str:
        """What the intervals of the table hold."""
        return intervals_in_words(self.correction)

    @property
    def shares_by_method(self) -> tuple[tuple[str, ...], ...]:
        """Headings, then for each counted class its share by every method with the interval, percent."""
        shares = {each.method: each.by_code(self.taxonomy.codes) or {} for each in self.methods}
        lines = [("class", *shares)]
        for row in (row for row in self.differential.rows if row.counted):
            found = [each.get(row.cell_class.code) for each in shares.values()]
            lines.append(
                (row.cell_class.name, *(f"{percent(s[0])} ({percents(*s[1:])})" if s else "–" for s in found))
            )
        return tuple(lines) if shares else ()

    @property
    def ordered_gallery(self) -> tuple[GalleryRow, ...]:
        """The gallery in the order of the differential."""
        place = {row.cell_class.code: i for i, row in enumerate(self.differential.rows)}
        return tuple(sorted(self.gallery, key=lambda row: place.get(row.cell_class.code, len(place))))


def render_slide(report: SlideReport) -> str:
    """The report as one HTML page, without scripts and without anything to load."""
    pictures = {
        "differential": data_url(
            differential_chart(report.differential, report.taxonomy, _corrected_by_code(report))
        ),
        "entropy": data_url(entropy_chart(report.review.entropy, report.review.threshold)),
    }
    if report.overview is not None:
        pictures["overview"] = data_url(
            overview_picture(report.overview.pixels, report.overview.fields), "jpeg"
        )
    return page(
        "slide.html.j2",
        report=report,
        count=report.differential,
        rows={row.cell_class.code: row for row in report.differential.rows},
        corrected=_corrected_by_code(report),
        notes=method_notes(report.differential),
        method_words=METHODS_IN_WORDS,
        caption_words=CAPTIONS_IN_WORDS,
        pictures=pictures,
    )


def write_slide_report(report: SlideReport, path: Path) -> None:
    """Write the report as HTML or PDF, by the file's name.

    Raises
    ------
    OutputError
        The name ends in neither, or the file cannot be written.
    """
    match path.suffix.lower():
        case ".html" | ".htm":
            write_file(render_slide(report).encode("utf-8"), path)
        case ".pdf":
            from napari_deepheme.report.pdf import slide_pdf  # noqa: PLC0415  fonts take a second

            write_file(slide_pdf(report), path)
        case _:
            raise OutputError(f"A report is written as .html or .pdf; {path.name} is neither.")


def _corrected_by_code(report: SlideReport) -> Mapping[str, tuple[float, float, float]]:
    best = report.correction
    return {} if best is None else (best.by_code(report.taxonomy.codes) or {})
