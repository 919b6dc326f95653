"""Filters, orders and progress, on tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_deepheme.ui.review.order import (
    CellFilter,
    ClassProgress,
    Order,
    Show,
    matching,
    ordered,
    progress,
)


@pytest.fixture
def few():
    return pd.DataFrame(
        {
            "cell_id": [1, 2, 3, 4, -1],
            "x_px": [900.0, 10.0, 500.0, 20.0, 30.0],
            "y_px": [20.0, 30.0, 10.0, 900.0, 2000.0],
            "class": ["M3", "M4", "M3", "L2", ""],
            "label": ["M3", "M3", "M3", "L2", "M1"],
            "label_source": ["model", "person", "person", "model", "person"],
            "needs_review": [True, True, False, False, False],
            "confidence": [0.5, 0.4, 0.9, 0.95, np.nan],
            "entropy": [0.9, 1.1, 0.2, 0.1, np.nan],
            "agreement": [0.5, 0.5, 1.0, 1.0, np.nan],
            "mutual_information": [0.1, 0.3, 0.01, 0.0, np.nan],
            "ood_distance": [1.0, np.nan, 7.0, 3.0, np.nan],
            "region": ["a", "a", "b", "b", ""],
            "p_M3": [0.5, 0.4, 0.9, 0.05, np.nan],
            "p_L2": [0.5, 0.6, 0.1, 0.95, np.nan],
        }
    )


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        (CellFilter(Show.TO_REVIEW), [0, 1]),
        (CellFilter(Show.WAITING), [0]),
        (CellFilter(Show.CORRECTED), [1, 4]),
        (CellFilter(Show.REVIEWED), [1, 2, 4]),
        (CellFilter(Show.ADDED), [4]),
        (CellFilter(Show.ALL), [0, 1, 2, 3, 4]),
        (CellFilter(Show.ALL, label="M3"), [0, 1, 2]),
        (CellFilter(Show.ALL, region="b"), [2, 3]),
        (CellFilter(Show.REVIEWED, "M3", "b"), [2]),
    ],
)
def test_a_filter_lets_through_what_its_name_says(few, wanted, rows):
    assert matching(few, wanted).tolist() == rows


@pytest.mark.parametrize(
    ("order", "rows"),
    [
        (Order.UNCERTAINTY, [1, 0, 2, 3, 4]),
        (Order.CONFIDENCE, [1, 0, 2, 3, 4]),
        (Order.DISAGREEMENT, [1, 0, 2, 3, 4]),
        (Order.OOD, [2, 3, 0, 1, 4]),
        (Order.POSITION, [1, 2, 0, 3, 4]),
    ],
)
def test_an_order_begins_with_what_its_name_says_and_ends_with_cells_without_a_figure(few, order, rows):
    assert ordered(few, np.arange(5), order).tolist() == rows


def test_an_order_keeps_to_the_rows_given(few):
    assert ordered(few, np.array([3, 0]), Order.UNCERTAINTY).tolist() == [0, 3]


def test_what_teaches_most_is_asked_of_the_cells_nobody_settled(few, monkeypatch):
    def suggest(members, *, labelled, labels):
        assert members.shape == (1, 4, 2)
        assert labelled.tolist() == [False, False, True, True]
        assert labels.shape == (4,)
        return np.array([1, 0])  # the cell in doubt is not the most instructive one

    assert sorted(ordered(few, np.arange(5), Order.TEACHES)[:2].tolist()) == [0, 3]
    monkeypatch.setattr("napari_deepheme.ui.review.order.suggest", suggest)
    assert ordered(few, np.arange(5), Order.TEACHES).tolist() == [3, 0, 1, 2, 4]


def test_progress_counts_by_the_label_that_holds_now(few):
    assert progress(few) == {
        "M3": ClassProgress(3, 2, 1),
        "L2": ClassProgress(1, 0, 0),
        "M1": ClassProgress(1, 1, 0),
    }


def test_an_empty_table_has_nothing_to_show(few):
    empty = few.iloc[:0]
    for order in Order:
        assert len(ordered(empty, matching(empty, CellFilter()), order)) == 0
    assert progress(empty) == {}
