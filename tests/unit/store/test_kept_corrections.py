"""Corrections that a window keeps in a file as it made them, and the choices that go with them."""

from __future__ import annotations

from napari_deepheme.analysis.corrections import Correction, CorrectionKind
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store import open_analysis


def test_a_batch_is_kept_as_it_is(file):
    said = [
        Correction(i, CorrectionKind.LABEL, i, "Ada", "2026-01-01T00:00:00+00:00", label="L2") for i in (1, 2)
    ]
    file.keep(said)
    assert file.corrections() == tuple(said)


def test_the_thresholds_come_back(file):
    chosen = AssessmentOptions(0.2, 0.9, match_prior=False)
    file.assess_by(chosen)
    file.close()
    with open_analysis(file.path) as again:
        assert again.analysis().facts.options.assessment == chosen
