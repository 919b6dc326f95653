"""A run counts on until a class is as precise as asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from review_cells import analysis_of

from napari_deepheme import AnalysisOptions, analyse, drain, open_slide
from napari_deepheme.analysis.result import NoticeKind
from napari_deepheme.analysis.stopping import Tally, counted_in, counts_in
from napari_deepheme.errors import OptionError
from napari_deepheme.stats.planning import StopRule, stop_rule
from napari_deepheme.store.opening import create_analysis


@pytest.fixture
def analysis(smear_path, toy_bundle):
    return analysis_of(smear_path, toy_bundle)


def tally(analysis, **options):
    taxonomy = analysis.facts.bundle.taxonomy
    return Tally(AnalysisOptions(**options), taxonomy, 20, 1, counts_in(analysis))


def test_the_target_alone_ends_a_count(analysis):
    n = counted_in(analysis)
    assert tally(analysis, target_cells=n).is_enough
    assert not tally(analysis, target_cells=n + 1).is_enough
    assert not tally(analysis, target_cells=0).is_enough


def test_a_class_must_also_be_as_precise_as_asked(analysis):
    loose, strict = StopRule("L2", 0.05, least=0), StopRule("L2", 0.01, least=0)
    assert tally(analysis, target_cells=100, until=loose).is_enough
    waiting = tally(analysis, target_cells=100, until=strict)
    assert not waiting.is_enough
    progress = waiting.progress()
    assert "L2 ± " in progress.message
    assert progress.total == waiting.counted + waiting.decision.more
    more = replace(waiting, counts=waiting.counts * 100)  # as many again, a hundred times
    assert more.is_enough


def test_fields_that_differ_ask_for_more_cells(analysis):
    """Lymphocytes that all lie in one field say less than as many from all over."""
    whole = tally(analysis, target_cells=100, until=StopRule("L2", 0.01, least=0))
    even = replace(whole, counts=np.repeat(whole.counts, 4, axis=0))
    apart = even.counts.copy()
    column = analysis.facts.bundle.taxonomy.codes.index("L2")
    apart[:, column] = [4 * apart[0, column], 0, 0, 0]
    assert replace(even, counts=apart).decision.more > even.decision.more


def test_a_run_says_what_is_still_missing_and_goes_on_from_its_file(toy_bundle, smear_path, tmp_path):
    """The little smear cannot be as precise as that: all fields are counted."""
    taxonomy = toy_bundle.spec.taxonomy
    every = replace(taxonomy, classes=tuple(replace(each, counted=True) for each in taxonomy.classes))
    bundle = replace(toy_bundle, spec=toy_bundle.spec.model_copy(update={"taxonomy": every}))
    options = AnalysisOptions(target_cells=1, until=StopRule("L2", 0.02, least=1))
    with open_slide(smear_path) as slide, create_analysis(tmp_path / "a.deepheme.db", {}) as file:
        few = drain(analyse(slide, bundle, replace(options, until=None), sink=file))
        whole = drain(analyse(slide, bundle, options, sink=file))
        assert file.facts().options.until == options.until
    assert len(whole.ids) > len(few.ids)
    (notice,) = [each for each in whole.notices if each.kind is NoticeKind.IMPRECISE]
    assert "more cells are needed" in notice.text
    assert not [each for each in few.notices if each.kind is NoticeKind.IMPRECISE]


@pytest.mark.parametrize("text", ["L2", "L2:", "L2:x", "L2:0", "L2:80", ":2:3"])
def test_a_precision_of_another_form_is_refused(text):
    with pytest.raises(OptionError, match="precision"):
        stop_rule(text)


def test_a_class_that_is_never_counted_and_a_count_without_end_are_refused(toy_bundle, smear_path):
    with open_slide(smear_path) as slide, pytest.raises(OptionError, match="counts no U1"):
        drain(analyse(slide, toy_bundle, AnalysisOptions(until=StopRule("U1", 0.02))))
    with pytest.raises(OptionError, match="needs a target"):
        AnalysisOptions(target_cells=0, until=StopRule("L2", 0.02))
