"""The docks at 1280×800: nothing lies on anything else, all can be read, and all is reached by keyboard."""

from __future__ import annotations

from itertools import combinations

import pytest
from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QFontMetrics
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollBar,
    QWidget,
)
from review_cells import analysis_of
from superqt import QCollapsible

from napari_deepheme.errors import OptionError
from napari_deepheme.taxonomy import DEEPHEME_23, MUNICH_21, PBC_11
from napari_deepheme.ui.review import keys as review_keys
from napari_deepheme.ui.review.key_panel import KeyPanel
from napari_deepheme.ui.review.keys import default_keys, in_key_order, offered_classes
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import state_of
from napari_deepheme.ui.widgets import RESEARCH_USE

PLUGIN = "napari-deepheme"
INTERACTIVE = (
    QAbstractButton, QAbstractItemView, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit
)  # fmt: skip

pytestmark = pytest.mark.viewer


@pytest.fixture
def docks(request, make_napari_viewer_proxy, smear_path, toy_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(review_keys, "KEYS_FILE", tmp_path / "keys.toml")
    viewer = make_napari_viewer_proxy()
    viewer.theme = getattr(request, "param", "dark")
    viewer.window.resize(1280, 800)
    _, docks = viewer.window.add_plugin_dock_widget(PLUGIN, "All docks")
    viewer.window.show()
    (image,) = viewer.open(smear_path, plugin=PLUGIN)
    state = state_of(viewer)
    state.slide = image
    state.open(Session.of_analysis(analysis_of(smear_path, toy_bundle), "smear"))
    yield docks
    docks.review.release()
    state.close()


def tabs(docks, qtbot):
    for i in range(docks.count()):
        docks.setCurrentIndex(i)
        qtbot.wait(50)
        yield docks.widget(i)


def named(widget):
    text = widget.text() if isinstance(widget, QAbstractButton | QLabel) else ""
    return f"{type(widget).__name__} {widget.accessibleName() or str(text)[:40]!r}"


def is_collapsed(widget):
    """Whether a widget is in a part that is folded up: Qt calls it visible."""
    while widget is not None and not (isinstance(widget, QCollapsible) and not widget.isExpanded()):
        widget = widget.parentWidget()
    return widget is not None


def siblings(parent):
    """Visible children that belong to the layout of their parent, with where they lie."""
    found = [
        each
        for each in parent.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
        if each.isVisible() and not each.isWindow()
    ]
    return [(each, each.geometry()) for each in found if not each.geometry().isEmpty()]


def test_no_part_of_a_dock_lies_on_another(docks, qtbot):
    for dock in tabs(docks, qtbot):
        parents = [dock, *(each for each in dock.findChildren(QWidget) if each.isVisible())]
        ours = [each for each in parents if each.layout() is not None and not is_collapsed(each)]
        assert len(ours) > 2
        for parent in ours:
            for (one, here), (other, there) in combinations(siblings(parent), 2):
                assert not here.intersects(there), f"{named(one)} lies on {named(other)}: {here} {there}"
            for child, place in siblings(parent):
                assert parent.rect().contains(place), f"{named(child)} sticks out: {place} of {parent.rect()}"


def test_no_text_of_a_dock_is_cut_off(docks, qtbot):
    for dock in tabs(docks, qtbot):
        for each in dock.findChildren(QPushButton):
            if each.isVisible():
                assert each.width() >= each.minimumSizeHint().width(), named(each)
        for each in dock.findChildren(QLabel):
            if not each.isVisible() or not each.text() or is_collapsed(each):
                continue
            flags = int(Qt.TextFlag.TextWordWrap) if each.wordWrap() else 0
            box = QFontMetrics(each.font()).boundingRect(
                QRect(0, 0, each.width(), 10_000), flags, each.text()
            )
            assert box.width() <= each.width() + 2, named(each)
            assert box.height() <= each.height() + 2, named(each)


def test_what_can_be_used_has_a_name_and_is_reached_by_tab(docks, qtbot):
    for dock in tabs(docks, qtbot):
        used = [
            each
            for each in dock.findChildren(QWidget)
            if isinstance(each, INTERACTIVE)
            and each.isVisible()
            and each.isEnabled()
            and not isinstance(each, QScrollBar)
            and not isinstance(each.parent(), INTERACTIVE)
            and each.focusProxy() is None
        ]
        assert len(used) > 5
        reached, widget = set(), dock
        for _ in range(2000):
            widget = widget.nextInFocusChain()
            reached.add(widget)
            if widget is dock:
                break
        for each in used:
            text = each.text() if isinstance(each, QAbstractButton) else ""
            buddies = [label for label in dock.findChildren(QLabel) if label.buddy() is each]
            assert text or each.accessibleName() or buddies, named(each)
            # each column of a table says for itself what it is
            in_table = isinstance(each, QAbstractItemView)
            assert in_table or each.toolTip() or each.parent().toolTip(), named(each)
            assert each in reached, named(each)
            policy = each.focusPolicy()
            group = isinstance(each, QAbstractButton) and each.autoExclusive()
            assert group or policy & Qt.FocusPolicy.TabFocus, f"{named(each)} is left out by Tab"


def test_summary_counts_once_it_is_seen(docks, qtbot):
    summary, state = docks.summary, docks.summary.state
    docks.setCurrentWidget(summary)
    qtbot.wait(50)
    before = summary.counts.text()
    docks.setCurrentWidget(docks.classify)
    state.delete(state.table["cell_id"].head(3).tolist())
    qtbot.wait(50)
    assert summary.counts.text() == before
    docks.setCurrentWidget(summary)
    assert f"of {len(state.table)} found" in summary.counts.text() != before


def test_what_learning_came_to_is_scrolled_to(docks, qtbot):
    docks.setCurrentWidget(docks.review)
    qtbot.wait(50)
    box = docks.review.panel.learn_box
    box._on_failed(OptionError("These labels say little. " * 12))
    qtbot.waitUntil(lambda: box.line.visibleRegion().boundingRect().height() == box.line.height())


def test_a_letter_with_alt_means_one_thing_in_a_dock(docks, qtbot):
    for dock in tabs(docks, qtbot):
        letters = dict.fromkeys("fvlpwh", "a menu of napari")
        shown = [
            each
            for each in dock.findChildren(QWidget)
            if each.isVisible()
            and (isinstance(each, QAbstractButton) or (isinstance(each, QLabel) and each.buddy()))
        ]
        for each in shown:
            text = each.text().replace("&&", "")
            if "&" in text:
                letter = text[text.index("&") + 1].lower()
                assert letter not in letters, f"Alt-{letter}: {named(each)} and {letters[letter]}"
                letters[letter] = named(each)


def contrast(one, other):
    def luminance(colour):
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def drawn_colours(widget):
    """The commonest colour of a widget as it is drawn, and the one farthest from it."""
    picture = widget.grab().toImage()
    pixels = [picture.pixel(x, y) for x in range(0, picture.width()) for y in range(picture.height())]
    back = QColor(max(set(pixels), key=pixels.count))
    return back, max((QColor(each) for each in set(pixels)), key=lambda each: contrast(each, back))


@pytest.mark.parametrize("docks", ["dark", "light"], indirect=True)
def test_research_use_only_is_as_readable_as_the_rest(docks, qtbot):
    for dock in (docks.classify, docks.summary):
        docks.setCurrentWidget(dock)
        qtbot.wait(50)
        (line,) = [each for each in dock.findChildren(QLabel) if RESEARCH_USE in each.text()]
        back, ink = drawn_colours(line)
        assert contrast(back, ink) >= 7
        sizes = [each.fontInfo().pixelSize() for each in dock.findChildren(QLabel) if each.isVisible()]
        assert line.fontInfo().pixelSize() >= min(sizes)


@pytest.mark.parametrize("taxonomy", [PBC_11, MUNICH_21, DEEPHEME_23], ids=lambda each: each.name)
@pytest.mark.parametrize("width", [360, 410])
def test_what_is_seen_of_a_class_tells_it_from_all_others(qtbot, taxonomy, width):
    panel = KeyPanel()
    qtbot.addWidget(panel)
    classes = offered_classes(taxonomy)
    keys = default_keys(classes)
    panel.resize(width, 200)
    panel.show_classes(in_key_order(classes, keys), keys)
    panel.show()
    qtbot.wait(10)
    ordered = in_key_order(classes, keys)
    seen = [button.text().split("  ", 1)[1] for button in panel.buttons]
    assert len(set(seen)) == len(seen)
    for name, each, button in zip(seen, ordered, panel.buttons, strict=True):
        start, _, rest = name.partition(". ")
        assert name == each.name or (each.name.startswith(start) and each.name.endswith(f" {rest}")), name
        assert each.name in button.toolTip()
        assert button.width() >= button.minimumSizeHint().width()
