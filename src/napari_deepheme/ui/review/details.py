"""What is said of the cell one is at: top two, votes, why it is to be reviewed. No Qt."""

from __future__ import annotations

import numpy as np
import pandas as pd

from napari_deepheme.analysis.result import Analysis
from napari_deepheme.export.table import PERSON


def cell_lines(row: pd.Series | None, votes: str = "") -> tuple[str, str]:
    """Two lines on a cell: what it is, and what speaks for a look at it.

    Parameters
    ----------
    row : Series or None
        Of a table in the columns of ``cells.csv``; None without a cell.
    votes : str
        See :func:`votes_of`.
    """
    if row is None:
        return "", ""
    first = f"cell {row['cell_id']}"
    if row["label_source"] == PERSON and row["label"] != row["class"]:
        first += f" · {row['label'] or 'no class yet'} by a person"
    elif row["label_source"] == PERSON:
        first += f" · {row['label']} confirmed"
    if row["class"]:
        first += f" · {row['class']} {row['confidence']:.2f}"
        first += f" · {row['top2_class']} {row['top2_confidence']:.2f}"
    reason = f"to review: {row['review_reason']}" if row["needs_review"] else ""
    return first, " · ".join(each for each in (votes, reason) if each)


def votes_of(analysis: Analysis | None, cell: int) -> str:
    """How the members of the ensemble vote, such as ``votes M3 2, M4 1``; empty where that is not known."""
    if analysis is None:
        return ""
    (rows,) = np.nonzero(analysis.ids == cell)
    if not len(rows) or len(analysis.raw.members) < 2:
        return ""
    members = analysis.raw.members[:, rows[0]]
    if np.isnan(members).any():
        return ""
    codes = np.array(analysis.facts.bundle.taxonomy.codes, dtype=object)[members.argmax(axis=1)]
    counts = pd.Series(codes).value_counts()
    return "votes " + ", ".join(f"{code} {n}" for code, n in counts.items())
