"""The differential of an analysis or of a table of cells, by one function for every view of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.analysis.corrections import settled
from napari_deepheme.analysis.result import Analysis
from napari_deepheme.export.table import PERSON, PROBABILITY
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.stats.differential import CellFacts, CountOptions, Differential
from napari_deepheme.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pandas as pd


def differential(
    table: pd.DataFrame,
    taxonomy: Taxonomy,
    counting: CountOptions | None = None,
    *,
    by_field: bool = False,
) -> Differential:
    """Differential count of a table of cells, by the labels that count; a cell without one is left out.

    Parameters
    ----------
    table : DataFrame
        Columns of ``cells.csv``.
    taxonomy : Taxonomy
    counting : CountOptions, optional
    by_field : bool
        Whether the regions are fields of the smear: cells of a field resemble each other, and the intervals
        are wider for it.
    """
    import pandas as pd  # noqa: PLC0415

    masks = counting is not None and bool(counting.rule.masked)
    shares = [f"{PROBABILITY}{code}" for code in taxonomy.codes] if masks else []
    needed = table.reindex(columns=["label", "label_source", "region", "entropy", *shares], fill_value=0.0)
    there = (table["label"] != "").to_numpy(bool)
    named = needed if there.all() else needed[there]
    probabilities = None
    if masks:
        known = named[shares]
        probabilities = np.nan_to_num(known.to_numpy(np.float64))
    facts = CellFacts(
        probabilities=probabilities,
        by_person=(named["label_source"] == PERSON).to_numpy(bool),
        fields=pd.factorize(named["region"])[0] if by_field else None,
    )
    entropy = np.nan_to_num(named["entropy"].to_numpy(np.float64))
    which, codes = pd.factorize(named["label"])
    labels = np.asarray(codes, object)[which]  # a text for each class, not for each cell: four times as fast
    return Differential.of(labels, entropy, taxonomy, counting, facts)


def counted_by(options: AssessmentOptions) -> CountOptions:
    """By the rule that a person chose, else by ICSH's."""
    return CountOptions() if options.rule is None else CountOptions(rule=options.rule)


def differential_of(
    analysis: Analysis,
    options: AssessmentOptions | None = None,
    counting: CountOptions | None = None,
) -> Differential:
    """Differential count of an analysis, with what people corrected; without making the whole table.

    Cells that people added and did not name are left out until they are classified; then the call counts.
    It counts by the rule that is kept with the analysis, unless ``counting`` names another.
    """
    counting = counting or counted_by(options or analysis.facts.options.assessment)
    chosen, taxonomy = analysis.counting(options), analysis.taxonomy
    codes = np.array(taxonomy.codes, dtype=object)
    masks = bool(counting.rule.masked)
    probabilities = _padded(chosen.assessed(options).probabilities, len(codes)) if masks else None
    calls, entropy = chosen.called(options)
    labels = codes[calls]
    asked = ~np.isnan(chosen.raw.members[0, :, 0])
    kept = asked & (chosen.ids > 0)
    corrected = settled(analysis.corrections)
    by_person = np.zeros(len(labels), bool)
    for row in np.flatnonzero(np.isin(chosen.ids, list(corrected))) if corrected else ():
        said = corrected[int(chosen.ids[row])]
        labels[row], by_person[row] = said.label or labels[row], bool(said.label)
        kept[row] = not said.deleted and (kept[row] or by_person[row] or (said.added and asked[row]))
    facts = CellFacts(
        probabilities=None if probabilities is None else probabilities[kept],
        by_person=by_person[kept],
        fields=chosen.cells.region[kept] if analysis.facts.fields else None,
    )
    return Differential.of(labels[kept], entropy[kept], taxonomy, counting, facts)


def _padded(probabilities: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """With columns of zeros for classes that only people used."""
    return np.pad(probabilities, ((0, 0), (0, classes - probabilities.shape[1])))
