"""A model that learns from the corrections of an analysis and of others beside it, and what it would change.

The parent is always the model that ran: what was learned before is learned anew with all labels of today.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_deepheme.adapt.adapting import Adapted, AdaptOptions, adapt
from napari_deepheme.adapt.classes import FEWEST
from napari_deepheme.adapt.labelled import Grouping, LabelledCells, LabelSource
from napari_deepheme.adapt.sources import on_slide
from napari_deepheme.analysis.audit import named_at_random
from napari_deepheme.analysis.corrections import settled
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.learned import Learned, by_learned
from napari_deepheme.analysis.options import RunOptions
from napari_deepheme.analysis.prepare import calibration_for
from napari_deepheme.analysis.result import Analysis
from napari_deepheme.cells import RawOutputs
from napari_deepheme.classify.bundle import Bundle, BundleSpec, calibration_content
from napari_deepheme.export.table import PERSON, cells_table
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import crops
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.taxonomy import Taxonomy

_FEWEST_FIELDS = 5
"""Fields that labelled cells must lie in to be cross-validated by field."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What was learned from the corrections of an analysis.

    Attributes
    ----------
    adapted : Adapted
        The new bundle with its cross-validated figures.
    learned : Learned or None
        Its outputs for all cells; None where cross-validation showed no gain.
    left_out : mapping of str to int
        Labels of classes that have too few.
    slides : int
        That the labels come from.
    """

    adapted: Adapted
    learned: Learned | None
    left_out: Mapping[str, int]
    slides: int = 1


@dataclass(frozen=True, slots=True)
class Changes:
    """What another model changes of the cells that nobody settled.

    Attributes
    ----------
    cells : int
        Such cells.
    moved : mapping of (str, str) to int
        Cells whose call changes, by the class before and after, most of them first.
    to_review : tuple of int
        Of these cells, those to review before and after.
    """

    cells: int
    moved: Mapping[tuple[str, str], int]
    to_review: tuple[int, int]


def labelled_counts(table: pd.DataFrame) -> dict[str, int]:
    """Labels that people gave or confirmed, by class; of a table in the columns of ``cells.csv``."""
    rows = table["label"][(table["label_source"] == PERSON) & (table["label"] != "")]
    return {str(code): int(n) for code, n in rows.value_counts().items()}


def enough(counts: Mapping[str, int], known: Taxonomy) -> bool:
    """Whether these labels teach: three of each of two classes, or of one that the model does not know."""
    classes = [code for code, n in counts.items() if n >= FEWEST]
    return len(classes) > 1 or any(code not in known.codes for code in classes)


def learn(
    analysis: Analysis,
    slide: Slide,
    parent: Bundle,
    run: RunOptions,
    out: Path,
    others: Sequence[LabelSource] = (),
) -> Job[Lesson]:
    """Learn from the cells that people settled, and ask the new model about all cells.

    Parameters
    ----------
    analysis : Analysis
        By the run's own model.
    slide : Slide
    parent : Bundle
        The run's own model.
    run : RunOptions
    out : Path
        Folder of the new bundle; its name is the model's.
    others : sequence of LabelSource
        Other analyses to learn from as well; cross-validation is over slides then.

    Raises
    ------
    OptionError, TaxonomyError, BundleError
        Labels that cannot teach, or a parent that cannot be adapted.
    SlideError
        The slide of another analysis cannot be read.
    """
    yield Progress("Reading labelled cells")
    parts = [labelled(analysis, slide, parent, by_field=not others)]
    for other in others:
        parts.append((yield from other.read(parent.spec)))
    cells, left_out = _enough_of_each(LabelledCells.join(parts))
    adapted = yield from adapt(parent, cells, AdaptOptions(out=out, device=run.device))
    learned = (yield from _asked(analysis, slide, adapted, run, len(cells))) if adapted.gains else None
    return Lesson(adapted, learned, left_out, len(set(cells.smears)))


def labelled(analysis: Analysis, slide: Slide, parent: Bundle, *, by_field: bool) -> LabelledCells:
    """The cells that people settled.

    They are kept together by field where that is wanted and they lie in enough fields; else all are of one
    slide.
    """
    table = cells_table(analysis)
    rows = table[(table["label_source"] == PERSON) & (table["label"] != "")]
    counts = labelled_counts(table)
    cells = on_slide(rows, slide, parent.spec, slide.info.path, named_at_random(analysis))
    fields = tuple(rows["region"])
    teaching = {field for field, label in zip(fields, rows["label"], strict=True) if counts[label] >= FEWEST}
    if not by_field or len(teaching) < _FEWEST_FIELDS:
        return cells
    return replace(cells, groups=fields, grouping=Grouping.FIELD)


def _enough_of_each(cells: LabelledCells) -> tuple[LabelledCells, dict[str, int]]:
    """The cells of classes with enough labels; and the labels left out, by class."""
    counts = Counter(cells.labels)
    few = {code: n for code, n in counts.items() if n < FEWEST}
    return cells.take(np.flatnonzero([label not in few for label in cells.labels])), few


def changes(before: Analysis, learned: Learned, own: BundleSpec, options: AssessmentOptions) -> Changes:
    """What a learned model would change of an analysis as it is shown, at these thresholds.

    ``own`` is the run's own model.
    """
    shown = before.counting(options)
    said = settled(shown.corrections)
    done = [cell for cell, each in said.items() if each.label or each.deleted]
    asked = ~np.isnan(shown.raw.members[0, :, 0])
    shown = shown.take(np.flatnonzero(~np.isin(shown.ids, done) & asked))
    after = by_learned(shown, learned)
    (old, old_review), (new, new_review) = (
        _calls(shown, options),
        _calls(after, thresholds_for(learned.bundle, own, options)),
    )
    moved = Counter(pair for pair in zip(old.tolist(), new.tolist(), strict=True) if pair[0] != pair[1])
    return Changes(len(old), dict(moved.most_common()), (old_review, new_review))


def thresholds_for(new: BundleSpec, own: BundleSpec, options: AssessmentOptions) -> AssessmentOptions:
    """The thresholds for a learned model.

    Few labels vouch for no review threshold, so that all cells would have to be reviewed: then the run's own
    stays, without its guarantee.
    """
    if options.review_threshold is None and new.review.threshold <= 0:
        return replace(options, review_threshold=own.review.threshold)
    return options


def _calls(analysis: Analysis, options: AssessmentOptions) -> tuple[NDArray[np.object_], int]:
    assessed = analysis.assessed(options)
    codes = np.array(analysis.facts.bundle.taxonomy.codes, dtype=object)
    return codes[assessed.call], int(assessed.needs_review.sum())


def _asked(
    analysis: Analysis, slide: Slide, adapted: Adapted, run: RunOptions, n_labelled: int
) -> Job[Learned]:
    """What the new model says of all cells, on a slide calibrated for it."""
    engine, spec = Engine(adapted.bundle, run), adapted.bundle.spec
    yield Progress("Measuring the slide for the new model")
    own = calibration_for(slide, engine, analysis.facts.options)
    calibration = replace(analysis.facts.calibration, stain=own.stain, class_prior=own.class_prior)
    yx, total = analysis.cells.yx, len(analysis.ids)
    parts = [RawOutputs.empty(len(spec.members), len(spec.taxonomy.classes))]
    at_once = engine.ensemble.full_batch
    for start in range(0, total, at_once):
        pixels = crops(slide, yx[start : start + at_once], spec.input_px, spec.mpp)
        parts.append(engine.ensemble.run(pixels, calibration.stain))
        yield Progress("Asking the new model", min(start + at_once, total), total)
    folder = Path(str(adapted.bundle.root))
    return Learned(
        spec,
        folder,
        calibration,
        n_labelled,
        analysis.ids,
        RawOutputs.concatenate(parts),
        calibration_content(adapted.bundle),
    )
