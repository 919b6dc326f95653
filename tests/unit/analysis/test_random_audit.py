"""A random audit: which cells a person is asked for, and what the answers say of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from review_cells import analysis_of

from napari_deepheme.analysis.audit import audited, draw_audit
from napari_deepheme.analysis.corrections import Correction, CorrectionKind
from napari_deepheme.cells import RawOutputs
from napari_deepheme.errors import OptionError
from napari_deepheme.export.reliability import calibration_of, monitored, reliability_of
from napari_deepheme.stats.assessment import AssessmentOptions, calibrated
from napari_deepheme.stats.calibration_set import CalibrationSet
from napari_deepheme.stats.exchangeability import Verdict
from napari_deepheme.store.opening import create_analysis, open_analysis

LABEL, DELETE = CorrectionKind.LABEL, CorrectionKind.DELETE


@pytest.fixture
def analysis(smear_path, toy_bundle):
    return analysis_of(smear_path, toy_bundle)


def named(analysis, labels):
    """With what a person said of cells: a class, or nothing for no cell."""
    said = tuple(
        Correction(i + 1, LABEL if label else DELETE, cell, "Ada", "2026-01-01T00:00:00+00:00", label=label)
        for i, (cell, label) in enumerate(labels.items())
    )
    return replace(analysis, corrections=said)


def calls_of(analysis):
    codes = analysis.taxonomy.codes
    return dict(zip(analysis.ids.tolist(), (codes[i] for i in analysis.called()[0]), strict=True))


def test_cells_are_drawn_of_every_class_among_those_that_nobody_settled(analysis):
    calls = calls_of(analysis)
    settled = named(analysis, dict.fromkeys(range(1, 101), "L2"))
    draw = draw_audit(settled, 50, who="Ada")
    assert min(draw.cells) > 100
    assert 45 <= len(draw.cells) <= 50 + 2 * len(analysis.taxonomy.codes)
    assert {calls[cell] for cell in draw.cells} == set(calls.values())
    everything = named(analysis, dict.fromkeys(analysis.ids.tolist(), "L2"))
    with pytest.raises(OptionError, match="nothing to audit"):
        draw_audit(everything, 50, who="Ada")


def test_nothing_is_said_until_every_drawn_cell_is_named(analysis):
    analysis = replace(analysis, audit=draw_audit(analysis, 50, who="Ada"))
    first, *others = analysis.audit.cells
    state = audited(named(analysis, dict.fromkeys(others, "L2")))
    assert state.waiting == (first,)
    assert "1 of its" in state.shares.refusal
    assert reliability_of(analysis).by_code is None


def test_what_the_model_gets_wrong_is_taken_out_of_the_shares(analysis):
    """Every lymphocyte is called a monocyte and every artefact is no cell: the audit finds both."""
    calls = calls_of(analysis)
    truth = {cell: {"MO2": "L2", "U1": ""}.get(call, call) for cell, call in calls.items()}
    analysis = replace(analysis, audit=draw_audit(analysis, 60, who="Ada"))
    done = named(analysis, {cell: truth[cell] for cell in analysis.audit.cells})
    shares = reliability_of(done).by_code
    cells = [each for each in truth.values() if each]
    for code in ("L2", "MO2", "M3", "E4"):
        _, low, high = shares[code]
        assert low <= cells.count(code) / len(cells) <= high
    assert shares["MO2"][0] == 0
    assert sum(fraction for fraction, *_ in shares.values()) == pytest.approx(1)
    assert reliability_of(done).to_json()["corrected_by"] == "audit"


def test_cells_named_for_another_reason_count_as_what_they_were_named(analysis):
    calls = calls_of(analysis)
    before = {cell: "ER1" for cell, call in calls.items() if call == "EBO"}
    analysis = named(analysis, before)
    analysis = replace(analysis, audit=draw_audit(analysis, 50, who="Ada"))
    done = named(analysis, before | {cell: calls[cell] for cell in analysis.audit.cells})
    fraction, *_ = reliability_of(done).by_code["ER1"]
    counted = [call for call in calls.values() if call != "U1"]
    assert fraction == pytest.approx(len(before) / len(counted))


def test_thresholds_moved_later_do_not_change_an_audit(analysis):
    calls = calls_of(analysis)
    analysis = replace(analysis, audit=draw_audit(analysis, 50, who="Ada"))
    done = named(analysis, {cell: calls[cell] for cell in analysis.audit.cells})
    facts = done.facts
    strict = replace(facts.options, assessment=AssessmentOptions(detection_threshold=1.0, match_prior=False))
    moved = replace(done, facts=replace(facts, options=strict))
    assert audited(moved).shares.by_code(done.taxonomy.codes) == audited(done).shares.by_code(
        done.taxonomy.codes
    )


def test_an_audit_of_another_model_is_not_used(analysis):
    analysis = replace(analysis, audit=replace(draw_audit(analysis, 50, who="Ada"), model="pbc-11 5"))
    assert "drawn for the calls of pbc-11 5" in audited(analysis).shares.refusal


def test_errors_of_an_audit_withdraw_the_promise_of_the_threshold(analysis):
    """The threshold lets cells pass that the person then finds to be wrong."""
    calls = calls_of(analysis)
    review = analysis.facts.bundle.review.model_copy(update={"threshold": 2.0, "risk": 0.1})
    bundle = analysis.facts.bundle.model_copy(update={"review": review})
    analysis = replace(analysis, facts=replace(analysis.facts, bundle=bundle))
    analysis = replace(analysis, audit=draw_audit(analysis, 50, who="Ada"))
    wrong = named(analysis, {cell: "L2" if calls[cell] != "L2" else "M3" for cell in analysis.audit.cells})
    assert reliability_of(wrong).promise.startswith("Withdrawn: more of ")
    told = reliability_of(wrong)
    assert any("were called wrong" in line for line in told.review)
    assert told.to_json()["review"]["wrong"] == told.seen.errors > 0
    assert any(line.startswith("Labels that people changed: ") for line in told.review)
    assert [each.method for each in told.stated] == ["audit"]


def test_labels_of_an_audit_are_watched_one_by_one(analysis):
    calls = calls_of(analysis)
    review = analysis.facts.bundle.review.model_copy(update={"threshold": 9.0})
    bundle = analysis.facts.bundle.model_copy(update={"review": review})
    analysis = replace(analysis, facts=replace(analysis.facts, bundle=bundle))
    assert monitored(analysis) is None
    analysis = replace(analysis, audit=draw_audit(analysis, 50, who="Ada"))
    first, second, *_ = analysis.audit.cells
    for labels, errors in (({}, 0), ({first: calls[first]}, 0), ({first: calls[first], second: ""}, 1)):
        seen = monitored(named(analysis, labels))
        assert (seen.n, seen.errors) == (len(labels), errors)


def test_an_audit_is_kept_in_the_file(analysis, tmp_path):
    draw = draw_audit(analysis, 50, who="Ada")
    path = tmp_path / "a.deepheme.db"
    with create_analysis(path, {}) as file:
        file.begin(analysis.facts)
        file.audit(draw)
    with open_analysis(path) as file:
        assert file.analysis().audit == draw


def test_the_calibration_cells_travel_with_the_analysis(analysis, tmp_path):
    """A slide whose cells are like the calibration cells is one of ours, whoever opens its file."""
    rng, n = np.random.default_rng(1), len(analysis.ids)
    members = rng.dirichlet(np.full(11, 0.2), (2, 2 * n))
    raw = RawOutputs(members, rng.uniform(0, 1, 2 * n))
    analysis = replace(analysis, raw=raw.take(np.arange(n)))
    held = raw.take(np.arange(n, 2 * n))
    probabilities = calibrated(held, analysis.facts.bundle.calibration)
    known = CalibrationSet(probabilities, probabilities.argmax(axis=1), held.distance)
    facts = replace(analysis.facts, calibration_cells=known.to_bytes())
    with create_analysis(tmp_path / "a.deepheme.db", {}) as file:
        file.begin(facts)
        again = file.facts()
    assert len(calibration_of(again)) == len(known)
    reliability = reliability_of(replace(analysis, facts=again))
    assert reliability.like_ours.verdict is Verdict.GREEN
    assert reliability.to_json()["corrected_by"] == "em"
    assert sum(fraction for fraction, *_ in reliability.by_code.values()) == pytest.approx(1)
    assert [each.method for each in reliability.stated] == ["count", "probabilistic", "acc", "pacc", "em"]
    document = reliability.to_json()
    assert "model's error as well" in document["intervals"]
    assert set(document["methods"]) == {"count", "probabilistic", "acc", "pacc", "em"}
    assert document["methods"]["em"]["L2"] == list(reliability.by_code["L2"])
    unknown = reliability_of(analysis)
    assert "not known on this slide" in unknown.intervals
    assert unknown.to_json()["methods"] == {}
    assert (unknown.like_ours.verdict, unknown.by_code) == (Verdict.UNKNOWN, None)
