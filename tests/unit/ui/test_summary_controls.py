"""Histogram, counting rule and colours: what a person sets there holds everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt

from napari_deepheme.analysis.corrections import Correction, CorrectionKind
from napari_deepheme.cells import Region
from napari_deepheme.errors import OptionError
from napari_deepheme.export.counts import differential_of
from napari_deepheme.fields import Field, FieldKind
from napari_deepheme.stats.rules import counting_rule
from napari_deepheme.taxonomy import own_colours
from napari_deepheme.taxonomy.own_colours import in_own_colours, keep_colour
from napari_deepheme.ui.histogram import UncertaintyHistogram
from napari_deepheme.ui.rule_menu import RuleMenu
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.summary_rows import summary_rows
from napari_deepheme.ui.summary_table import SummaryTable


@pytest.fixture
def in_fields(make_analysis):
    """Cells in four fields that differ."""
    analysis = make_analysis(200)
    regions = tuple(Region.box(f"f{i}", 0, 1000 * i, 4000, 1000 * (i + 1)) for i in range(4))
    fields = tuple(Field(region, FieldKind.GOOD, 1.0, 50.0, "") for region in regions)
    call = analysis.assessed().call
    cells = replace(analysis.cells, region=(call % 4).astype(np.int32))
    facts = replace(analysis.facts, regions=regions, fields=fields)
    units = {region.name: "" for region in regions}
    return replace(analysis, facts=facts, cells=cells, units=units)


@pytest.mark.parametrize("rule", ["icsh", "deepheme"])
def test_window_report_and_command_count_alike(in_fields, rule):
    said = Correction(1, CorrectionKind.LABEL, 3, "me", "2026-01-01T00:00:00", label="L2")
    options = replace(in_fields.facts.options.assessment, rule=counting_rule(rule))
    facts = replace(in_fields.facts, options=replace(in_fields.facts.options, assessment=options))
    analysis = replace(in_fields, facts=facts, corrections=(said,))
    ours, theirs = Session.of_analysis(analysis, "cells").differential, differential_of(analysis)
    assert ours.rule == theirs.rule == counting_rule(rule).title
    assert np.isfinite(ours.design_effect)
    assert ours.design_effect == pytest.approx(theirs.design_effect)
    for one, other in zip(ours.rows, theirs.rows, strict=True):
        assert (one.cell_class.code, one.count, one.counted) == (
            other.cell_class.code,
            other.count,
            other.counted,
        )
        assert (one.low, one.high) == pytest.approx((other.low, other.high), nan_ok=True)


def test_a_rule_that_is_chosen_counts_and_one_that_does_not_fit_is_refused(analysis, qtbot):
    state = state_of(ViewerModel())
    state.open(Session.of_analysis(analysis, "cells"))
    menu = RuleMenu(state)
    qtbot.addWidget(menu)
    assert "ICSH" in menu.text()
    menu.entries["deepheme"].trigger()
    assert state.options.rule == counting_rule("deepheme")
    assert counting_rule("deepheme").title in menu.text()
    counted = {row.cell_class.code: row.counted for row in state.session.differential.rows}
    assert not counted["B2"]
    assert counted["M3"]
    menu.entries["icsh"].trigger()
    assert state.options.rule is None
    with pytest.raises(OptionError, match="XYZ"):
        menu.take(counting_rule("icsh").model_copy(update={"not_counted": ("XYZ",)}))
    assert state.options.rule is None


@pytest.fixture
def histogram(qtbot):
    histogram = UncertaintyHistogram()
    qtbot.addWidget(histogram)
    histogram.resize(400, 64)
    histogram.show_values(np.array([0.05, 0.05, 0.4, 1.9, np.nan]), 0.5, 2.0)
    return histogram


def test_the_line_is_dragged_and_moved_by_keys(histogram, qtbot):
    heard = []
    histogram.moved.connect(heard.append)
    qtbot.mousePress(histogram, Qt.MouseButton.LeftButton, pos=QPoint(100, 30))
    qtbot.mouseMove(histogram, QPoint(200, 30))
    qtbot.mouseRelease(histogram, Qt.MouseButton.LeftButton, pos=QPoint(200, 30))
    assert heard[-1] == pytest.approx(1.0)
    qtbot.keyClick(histogram, Qt.Key.Key_Right)
    assert heard[-1] == pytest.approx(1.01)
    qtbot.keyClick(histogram, Qt.Key.Key_PageDown)
    assert heard[-1] == histogram.threshold == pytest.approx(0.91)
    assert "0.91" in histogram.accessibleDescription()


def test_a_click_on_a_bar_asks_for_its_cells(histogram, qtbot):
    heard = []
    histogram.chosen.connect(lambda low, high: heard.append((low, high)))
    qtbot.mouseClick(histogram, Qt.MouseButton.LeftButton, pos=QPoint(12, 50))
    ((low, high),) = heard
    assert low <= 0.05 < high
    qtbot.mouseClick(histogram, Qt.MouseButton.LeftButton, pos=QPoint(300, 50))  # nothing is there
    assert len(heard) == 1


def test_a_colour_is_kept_for_the_user_and_given_back(tmp_path, monkeypatch, analysis):
    monkeypatch.setattr(own_colours, "COLOURS_FILE", tmp_path / "settings" / "colours.toml")
    own_colours.own_colours.cache_clear()
    usual = analysis.taxonomy
    keep_colour("M3", "#123456")
    assert in_own_colours(usual)["M3"].colour == "#123456"
    assert Session.of_analysis(analysis, "cells").taxonomy["M3"].colour == "#123456"
    keep_colour("M3", None)
    assert in_own_colours(usual) == usual
    (tmp_path / "settings" / "colours.toml").write_text("M3 = 7")
    own_colours.own_colours.cache_clear()
    with pytest.raises(OptionError, match=r"colours\.toml"):
        keep_colour("M4", "#123456")
    own_colours.own_colours.cache_clear()


def test_a_click_on_a_swatch_asks_for_a_colour_and_one_beside_it_does_not(analysis, qtbot, monkeypatch):
    table = SummaryTable()
    qtbot.addWidget(table)
    table.resize(420, 300)
    session = Session.of_analysis(analysis, "cells")
    table.show_rows(summary_rows(session.differential, session.progress()), frozenset())
    table.show()
    asked = []
    monkeypatch.setattr(table, "_ask_colour", lambda row: asked.append(row.code))
    line = next(i for i in range(table.rowCount()) if table.text(i, 0) == "Promyelocyte")
    swatch = table.swatch_rect(line)
    assert swatch.width() > 5
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=swatch.center())
    assert asked == ["M2"]
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=swatch.center() + QPoint(40, 0))
    assert asked == ["M2"]
    assert table.chosen_codes == ("M2",)
