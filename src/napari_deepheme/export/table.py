"""The cells of an analysis as a table, one row a cell, in the columns of ``cells.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.corrections import Corrected, settled
from napari_deepheme.analysis.result import Analysis
from napari_deepheme.stats.assessment import Assessment, AssessmentOptions, ReviewReason
from napari_deepheme.taxonomy import Taxonomy, known_classes

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = (
    "class",
    "class_name",
    "top2_class",
    "conformal_set",
    "review_reason",
    "label",
    "label_source",
    "region",
)
NUMBER_COLUMNS = (
    "x_px",
    "y_px",
    "x_um",
    "y_um",
    "confidence",
    "top2_confidence",
    "entropy",
    "mutual_information",
    "agreement",
    "detector_score",
)
NEWER_NUMBERS = ("trained_entropy", "ood_distance")
"""Numbers that older tables lack."""
PROBABILITY = "p_"
MODEL, PERSON = "model", "person"
"""Whose label it is."""

UNNAMED = "added by a person and not named yet"
"""Why an added cell waits for a person, whatever the model says of it."""

_CHUNK = 50_000

Columns = dict[str, NDArray[np.generic]]


def cells_table(analysis: Analysis, options: AssessmentOptions | None = None) -> pd.DataFrame:
    """One row per cell that counts, in the columns of ``cells.csv``.

    Positions are level-0 pixels and µm, x before y; entropies in nats; ``class`` is the model's call,
    ``label`` the one that counts; ``p_<CODE>`` are the calibrated ensemble probabilities under the slide's
    class prior. What people corrected is applied: moved cells lie where they were put, deleted ones are gone,
    added ones come last and have a negative id.
    """
    import pandas as pd  # noqa: PLC0415  half a second that finding cells need not wait for

    parts = list(table_parts(analysis, options))
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def table_parts(analysis: Analysis, options: AssessmentOptions | None = None) -> Iterator[pd.DataFrame]:
    """The same in parts of at most 50,000 cells, at least one, for tables that do not fit the memory."""
    counting, corrected = analysis.counting(options), settled(analysis.corrections)
    for start in range(0, max(len(counting.ids), 1), _CHUNK):
        yield _part(counting.take(slice(start, start + _CHUNK)), corrected, options)


def taxonomy_of(table: pd.DataFrame) -> Taxonomy:
    """Classes of a table's probability columns, then any a person used beyond them."""
    codes = [name.removeprefix(PROBABILITY) for name in table.columns if name.startswith(PROBABILITY)]
    used = dict.fromkeys([*codes, *table["class"], *table["label"]])
    return known_classes(code for code in used if code)


def _part(
    analysis: Analysis, corrected: Mapping[int, Corrected], options: AssessmentOptions | None
) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    assessment = analysis.assessed(options)
    columns = _columns(analysis, assessment, options)
    # a cell that was added and never classified has a label alone
    unknown = np.isnan(analysis.raw.members[0, :, 0])
    if unknown.any():
        _forget(columns, unknown)
    table = pd.DataFrame(columns)
    return corrected_table(table, corrected, analysis.facts.slide.mpp) if corrected else table


def _columns(analysis: Analysis, assessed: Assessment, options: AssessmentOptions | None) -> Columns:
    spec, cells = analysis.facts.bundle, analysis.cells
    codes = np.array(spec.taxonomy.codes, dtype=object)
    names = np.array([cell_class.name for cell_class in spec.taxonomy.classes], dtype=object)
    rows = np.arange(len(cells))
    mpp = analysis.facts.slide.mpp or (np.nan, np.nan)
    y, x = cells.yx.round(2).T  # µm follow from the pixels as they are written, corrected or not
    regions = np.array([region.name for region in analysis.facts.regions] or [""], dtype=object)
    columns: Columns = {
        "cell_id": analysis.ids,
        "x_px": x,
        "y_px": y,
        "x_um": (x * mpp[1]).round(3),
        "y_um": (y * mpp[0]).round(3),
        "class": codes[assessed.call],
        "class_name": names[assessed.call],
        "confidence": _rounded(assessed.confidence),
        "top2_class": codes[assessed.second],
        "top2_confidence": _rounded(assessed.probabilities[rows, assessed.second]),
        "entropy": _rounded(assessed.entropy),
        "mutual_information": _rounded(assessed.mutual_information),
        "agreement": _rounded(assessed.agreement),
        "conformal_set": _sets(assessed, codes),
        "needs_review": assessed.needs_review,
        "review_reason": _reasons(assessed, _review_threshold(analysis, options)),
        "label": codes[assessed.call],
        "label_source": np.full(len(cells), MODEL, dtype=object),
        "region": regions[cells.region],
        "detector_score": _rounded(cells.score),
    }
    columns |= {
        f"{PROBABILITY}{code}": _rounded(assessed.probabilities[:, k]) for k, code in enumerate(codes)
    }
    return columns | {
        "trained_entropy": _rounded(assessed.trained_entropy),
        "ood_distance": _rounded(analysis.raw.distance),
    }


def _review_threshold(analysis: Analysis, options: AssessmentOptions | None) -> float:
    chosen = (options or analysis.facts.options.assessment).review_threshold
    return analysis.facts.bundle.review.threshold if chosen is None else chosen


def _forget(columns: Columns, unknown: NDArray[np.bool_]) -> None:
    """Leave out what the model would say of cells it was not asked about."""
    model = ("class", "class_name", "top2_class", "conformal_set", "review_reason", "label")
    for name, column in columns.items():
        if name in model:
            columns[name] = np.where(unknown, "", column).astype(object)
        elif name in ("needs_review", "cell_id", "label_source", "region"):
            continue
        elif name not in ("x_px", "y_px", "x_um", "y_um"):
            columns[name] = np.where(unknown, np.nan, column.astype(np.float64))
    columns["needs_review"] = columns["needs_review"].astype(bool) & ~unknown


def corrected_table(
    table: pd.DataFrame, corrected: Mapping[int, Corrected], mpp: tuple[float, float] | None
) -> pd.DataFrame:
    """Apply to a table what people said of its cells, by their ids; ``mpp`` is the slide's."""
    row_of = {cell: row for row, cell in enumerate(table["cell_id"].tolist()) if cell in corrected}
    deleted = np.zeros(len(table), bool)
    label, source = (
        table["label"].to_numpy(object, copy=True),
        table["label_source"].to_numpy(object, copy=True),
    )
    review, why = (
        table["needs_review"].to_numpy(bool, copy=True),
        table["review_reason"].to_numpy(object, copy=True),
    )
    places = table[["y_px", "x_px", "y_um", "x_um"]].to_numpy(np.float64, copy=True)
    for cell, row in row_of.items():
        said = corrected[cell]
        deleted[row] = said.deleted
        if said.label:
            label[row], source[row] = said.label, PERSON
        elif said.added:
            source[row], review[row], why[row] = MODEL, True, UNNAMED
        if said.yx is not None:
            places[row, :2] = np.round(said.yx, 2)
            places[row, 2:] = np.round(places[row, :2] * (mpp or (np.nan, np.nan)), 3)
    y_px, x_px, y_um, x_um = places.T
    moved = table.assign(
        label=label,
        label_source=source,
        needs_review=review,
        review_reason=why,
        y_px=y_px,
        x_px=x_px,
        y_um=y_um,
        x_um=x_um,
    )
    # an addition that was undone leaves its row without a correction
    unsaid = (moved["cell_id"] < 0) & ~moved["cell_id"].isin(corrected)
    return moved[~deleted & ~unsaid.to_numpy()].reset_index(drop=True)


def _reasons(assessed: Assessment, threshold: float) -> NDArray[np.object_]:
    texts = {
        ReviewReason.UNSURE: f"entropy above {threshold:.2f}",
        ReviewReason.UNLIKE: "unlike the training cells",
        ReviewReason.PRIOR: "called so by the class prior alone",
    }
    every = sum(texts)
    phrases = ["; ".join(text for flag, text in texts.items() if flag & bits) for bits in range(every + 1)]
    reasons: NDArray[np.object_] = np.array(phrases, dtype=object)[assessed.review]
    return reasons


def _rounded(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return values.astype(np.float64).round(4)


def _sets(assessed: Assessment, codes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Conformal sets as codes joined by blanks, most probable first; never empty."""
    patterns, which = np.unique(assessed.conformal, axis=0, return_inverse=True)
    sets = np.empty(len(assessed), dtype=object)
    order = np.argsort(-assessed.probabilities, axis=1, kind="stable")
    single = patterns.sum(axis=1) == 1
    only = codes[patterns.argmax(axis=1)] if len(patterns) else np.zeros(0, object)
    for row, pattern in enumerate(which.ravel().tolist()):
        if single[pattern]:
            sets[row] = only[pattern]
        else:
            sets[row] = " ".join(codes[k] for k in order[row] if patterns[pattern, k])
    return sets
