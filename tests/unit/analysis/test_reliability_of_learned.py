"""What stands behind the count of a slide by an adapted model, and on the slide that it learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from review_cells import analysis_of

from napari_deepheme.analysis.audit import draw_audit
from napari_deepheme.analysis.corrections import Correction, CorrectionKind
from napari_deepheme.analysis.result import LearnedModel
from napari_deepheme.cells import RawOutputs
from napari_deepheme.export.reliability import reliability_of
from napari_deepheme.models.spec import Parent
from napari_deepheme.stats.assessment import calibrated
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.exchangeability import Verdict

EARLY, USED, LATE = (f"2026-01-01T0{hour}:00:00+00:00" for hour in (1, 2, 3))


@pytest.fixture
def analysis(smear_path, toy_bundle):
    """By a model that labelled cells of the same kind calibrated, chosen by a person."""
    made = analysis_of(smear_path, toy_bundle, n=300)
    rng = np.random.default_rng(1)
    raw = RawOutputs(rng.dirichlet(np.full(11, 0.1), (2, 800)), rng.uniform(0, 1, 800))
    known = calibration_of(raw.take(np.arange(300, 800)), made)
    facts = replace(made.facts, calibration_cells=replace(known, at_random=False).to_bytes())
    return replace(made, facts=facts, raw=raw.take(np.arange(300)))


def calibration_of(raw, analysis):
    probabilities = calibrated(raw, analysis.facts.bundle.calibration)
    return CalibrationSet(probabilities, probabilities.argmax(axis=1), raw.distance)


def at_random(analysis):
    known = CalibrationSet.from_bytes(analysis.facts.calibration_cells)
    return replace(
        analysis,
        facts=replace(analysis.facts, calibration_cells=replace(known, at_random=True).to_bytes()),
    )


def labelled(analysis, cells, when):
    said = tuple(
        Correction(i + 1, CorrectionKind.LABEL, cell, "Ada", when, label="L2") for i, cell in enumerate(cells)
    )
    return replace(analysis, corrections=said)


def learned(analysis):
    return replace(analysis, learned=LearnedModel("toy 1", Path("mine"), 120, "Ada", USED))


def test_labels_that_people_chose_vouch_for_no_slide_and_correct_nothing(analysis):
    chosen, drawn = reliability_of(analysis), reliability_of(at_random(analysis))
    assert chosen.like_ours.verdict is Verdict.UNKNOWN
    assert drawn.like_ours.verdict is Verdict.GREEN
    assert "people chose to label" in chosen.like_ours.advice
    assert "people chose" not in drawn.like_ours.advice
    assert chosen.by_code is None
    assert drawn.to_json()["corrected_by"] == "em"


def test_a_model_of_few_labels_says_how_many_are_needed(analysis):
    spec = analysis.facts.bundle
    training = spec.training.model_copy(update={"metrics": {"cells": 40.0}})
    spec = spec.model_copy(
        update={"parent": Parent(name="toy", version="1", members=()), "training": training}
    )
    few = replace(analysis, facts=replace(analysis.facts, bundle=spec, calibration_cells=b""))
    said = reliability_of(few).like_ours
    assert said.verdict is Verdict.UNKNOWN
    assert "learned from 40 labels, and 100 are needed" in said.advice


def test_cells_that_the_model_learned_from_are_not_compared(analysis):
    """It is surest of these: 60 of them would make any slide look like another."""
    members, distance = analysis.raw.members.copy(), analysis.raw.distance.copy()
    members[:, :60] = np.eye(11)[members[:, :60].mean(axis=0).argmax(axis=1)]
    distance[:60] = 0
    analysis = at_random(replace(analysis, raw=RawOutputs(members, distance)))
    cells, every = analysis.ids[:60].tolist(), reliability_of(analysis).like_ours
    assert every.verdict is not Verdict.GREEN
    others = reliability_of(learned(labelled(analysis, cells, EARLY))).like_ours
    assert others.verdict is Verdict.GREEN
    assert others.n < every.n
    # what was labelled once the model was in use did not teach it
    assert reliability_of(learned(labelled(analysis, cells, LATE))).like_ours.n == every.n


def test_cells_that_the_model_learned_from_do_not_vouch_for_its_threshold(analysis):
    """The parent's errors on audited cells taught it: they tell nothing of its own."""
    review = analysis.facts.bundle.review.model_copy(update={"threshold": 2.5, "risk": 0.1})
    bundle = analysis.facts.bundle.model_copy(update={"review": review})
    analysis = replace(analysis, facts=replace(analysis.facts, bundle=bundle))
    analysis = replace(analysis, audit=draw_audit(analysis, 50, who="Ada"))
    wrong = labelled(analysis, analysis.audit.cells, EARLY)
    assert reliability_of(wrong).promise.startswith("Withdrawn: more of ")
    assert not reliability_of(learned(wrong)).promise.startswith("Withdrawn: more of ")
