"""The report of a slide from its analysis, and the slide itself where it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.metadata import version

import numpy as np

from napari_deepheme.analysis.corrections import holding
from napari_deepheme.analysis.result import Analysis, Facts
from napari_deepheme.analysis.sign_off import day, review_status
from napari_deepheme.export.counts import counted_by, differential_of
from napari_deepheme.export.reliability import reliability_of
from napari_deepheme.report.slide import Correction, Crop, GalleryRow, Overview, ReviewState, SlideReport
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import crops
from napari_deepheme.stats.assessment import Assessment, AssessmentOptions
from napari_deepheme.stats.clustering import FieldVariation, field_variation
from napari_deepheme.stats.quantify import Quantification
from napari_deepheme.stats.references import beside, embedded_references, reference_set
from napari_deepheme.taxonomy.own_colours import Palette, in_palette

_SHOWN = 6  # cells of each kind in a row of the gallery
_OVERVIEW_PX = 1400


def slide_report(
    analysis: Analysis,
    slide: Slide | None,
    card: str = "",
    palette: Palette | None = None,
    references: Sequence[str] = embedded_references(),
) -> SlideReport:
    """All that a report tells of an analysis.

    Parameters
    ----------
    analysis : Analysis
    slide : Slide, optional
        For the overview and the gallery; left out where the slide is not at hand.
    card : str
        The model card.
    palette : mapping of str to str, optional
        Own colours ``#rrggbb`` by class code.
    references : sequence of str
        Sets of reference ranges to read beside the count, by name or TOML file.
    """
    counting = analysis.counting()
    assessed, count = counting.assessed(), differential_of(analysis)
    taxonomy, facts = in_palette(analysis.taxonomy, palette or {}), analysis.facts
    reliability = reliability_of(analysis)
    return SlideReport(
        slide=facts.slide.path.name,
        created=datetime.now().astimezone().isoformat(sep=" ", timespec="minutes"),
        taxonomy=taxonomy,
        differential=count,
        review=ReviewState(
            assessed.trained_entropy,
            reliability.threshold,
            reliability.review,
            reliability.changed,
        ),
        exchangeability=reliability.like_ours,
        correction=reliability.best,
        methods=reliability.stated,
        refusals=_refusals(reliability.quantified),
        references=tuple((each, beside(count, each)) for each in map(reference_set, references)),
        overview=None if slide is None else _overview(analysis, slide),
        gallery=() if slide is None else _gallery(counting, assessed, slide),
        variation=_variation(counting, assessed),
        corrections=_corrections(analysis),
        notices=tuple(notice.text for notice in analysis.notices),
        facts=_tables(analysis),
        card=card,
    )


def _overview(analysis: Analysis, slide: Slide) -> Overview:
    pixels, downsample = slide.overview(_OVERVIEW_PX)
    outlines = tuple((region.outline + 0.5) / downsample - 0.5 for region in analysis.regions)
    return Overview(pixels, outlines)


def _gallery(counting: Analysis, assessed: Assessment, slide: Slide) -> tuple[GalleryRow, ...]:
    """Of each class the cells the model is surest of, and those it doubts most."""
    spec, rows = counting.facts.bundle, []
    for k, cell_class in enumerate(spec.taxonomy.classes):
        own = np.flatnonzero((assessed.call == k) & (counting.ids > 0))
        if not len(own):
            continue
        order = own[np.argsort(assessed.entropy[own], kind="stable")]
        doubtful = [i for i in order[::-1] if assessed.review[i]][:_SHOWN]
        typical = [i for i in order if i not in doubtful][:_SHOWN]
        rows.append(
            GalleryRow(
                cell_class,
                *(_crops(counting, assessed, np.array(some, np.intp), slide) for some in (typical, doubtful)),
            )
        )
    return tuple(rows)


def _crops(
    counting: Analysis, assessed: Assessment, some: np.ndarray[tuple[int], np.dtype[np.intp]], slide: Slide
) -> tuple[Crop, ...]:
    spec = counting.facts.bundle
    pixels = crops(slide, counting.cells.yx[some], spec.input_px, spec.mpp)
    captions = [f"{counting.ids[i]} · {assessed.confidence[i]:.2f}" for i in some.tolist()]
    return tuple(Crop(crop, caption) for crop, caption in zip(pixels, captions, strict=True))


def _variation(counting: Analysis, assessed: Assessment) -> FieldVariation | None:
    """How the fields differ, where fields were counted."""
    if not counting.facts.fields or not len(counting.ids):
        return None
    regions = counting.cells.region
    counts = np.zeros((int(regions.max()) + 1, len(counting.facts.bundle.taxonomy.codes)))
    np.add.at(counts, (regions, assessed.call), 1)
    return field_variation(counts)


def _refusals(estimates: Iterable[Quantification]) -> dict[str, str]:
    """Reasons why there are no shares, by the methods they hold for."""
    methods: dict[str, list[str]] = {}
    for each in estimates:
        if each.refusal:
            methods.setdefault(each.refusal, []).append(each.method)
    return {", ".join(names): reason for reason, names in methods.items()}


def _corrections(analysis: Analysis) -> tuple[Correction, ...]:
    return tuple(
        Correction(each.when, each.who, f"cell {each.cell}: {each.kind} {each.label}".strip())
        for each in holding(analysis.corrections)
    )


def _learned(analysis: Analysis) -> dict[str, str]:
    """Where the model in use comes from, if it learned from the corrections."""
    learned = analysis.learned
    if learned is None:
        return {}
    origin = f"{learned.cells} labels of this analysis; before, {learned.parent} called the cells"
    return {"learned from": origin, "taken into use": f"{learned.who}, {day(learned.when)}"}


def _review(analysis: Analysis) -> dict[str, str]:
    """Whether the review is signed off, and by whom."""
    options = analysis.facts.options.assessment
    status = review_status(analysis.sign_offs, analysis.corrections, options, analysis.model)
    return {"sign-off": status.line or "not signed off"}


def _tables(analysis: Analysis) -> dict[str, dict[str, str]]:
    """Names and values by heading."""
    facts, options = analysis.facts, analysis.facts.options
    failed = Counter(bool(failure) for failure in analysis.units.values())
    mpp = facts.slide.mpp
    return {
        "Slide": {
            "file": str(facts.slide.path),
            "format": facts.slide.format,
            "size": f"{facts.slide.shape[1]} × {facts.slide.shape[0]} px",
            "µm/px": "unknown" if mpp is None else f"{mpp[0]:g} ({facts.slide.mpp_source})",
        },
        "Model": {
            "name": f"{facts.bundle.name} {facts.bundle.version}",
            "members": str(len(facts.bundle.members)),
            "weights (SHA-256)": ", ".join(member.sha256[:12] for member in facts.bundle.members),
            "detector": facts.detector or "cells were given",
            **_learned(analysis),
        },
        "Review": _review(analysis),
        "Options": {
            "target": f"{options.target_cells} cells" if options.target_cells else "every cell",
            "parts of the slide": f"{len(analysis.units)}, {failed[True]} of them unreadable",
            **_assessment(facts, options.assessment),
            "stain matched": _yes(facts.calibration.stain is not None),
            "cascade": _yes(options.cascade),
        },
        "Versions": {name: version(name) for name in ("napari-deepheme", "torch", "numpy")},
    }


def _assessment(facts: Facts, options: AssessmentOptions) -> dict[str, str]:
    """Choices that can be changed after the run, as they are in force."""
    review, film = facts.bundle.review.threshold, "crowded" if facts.calibration.crowded else "film"
    moved = options.review_threshold is not None
    return {
        "detection threshold": f"{facts.detection_threshold():.2f} "
        f"({f'the one for {film} slides' if options.detection_threshold is None else 'set by hand'})",
        "review threshold": f"{options.review_threshold if moved else review:.2f} nats "
        f"({'set by hand' if moved else 'of the model'})",
        "class prior of the slide": _yes(options.match_prior),
        "rule": counted_by(options).rule.title,
    }


def _yes(choice: bool) -> str:
    return "yes" if choice else "no"
