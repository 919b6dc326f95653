"""The button that names the counting rule in force and changes it."""

from __future__ import annotations

from dataclasses import replace

from napari.utils.notifications import show_error
from qtpy.QtGui import QAction, QActionGroup  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_deepheme.errors import OptionError
from napari_deepheme.export.counts import counted_by
from napari_deepheme.stats.rules import DEFAULT_RULE, CountingRule, counting_rule, embedded_rules
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.widgets import tip

_TIP = "What the differential counts. Kept with the analysis: window, commands and report count alike."


class RuleMenu(QPushButton):
    """“Rule”, with a menu of those that come with the program and of one's own.

    Parameters
    ----------
    state : ViewerState
    """

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        menu = QMenu(self)
        self._group = QActionGroup(menu)
        self.entries = {name: self._entry(menu, name) for name in embedded_rules()}
        menu.addSeparator()
        self.own = QAction("From a &file…", menu)
        self.own.setToolTip("A TOML file of your own; docs/numbers.md says what it may hold.")
        self.own.triggered.connect(self._ask)
        menu.addAction(self.own)
        menu.setToolTipsVisible(True)
        self.setMenu(menu)
        self.refresh()

    def refresh(self) -> None:
        """Name the rule in force."""
        rule, taxonomy = counted_by(self._state.options).rule, self._state.taxonomy
        self.setVisible(taxonomy is not None)
        self.setText(f"R&ule: {rule.title}")
        known = "" if taxonomy is None else f"{rule.describe(taxonomy)}. "
        tip(self, known + _TIP)
        for name, action in self.entries.items():
            action.setChecked(counting_rule(name) == rule)

    def take(self, rule: CountingRule) -> None:
        """Count by a rule; what keeps it from that is said.

        Raises
        ------
        OptionError
            It does not fit the classes of the analysis.
        """
        taxonomy = self._state.taxonomy
        if taxonomy is not None:
            rule.check_for(taxonomy)
        usual = counting_rule(DEFAULT_RULE)
        self._state.options = replace(self._state.options, rule=None if rule == usual else rule)

    def _entry(self, menu: QMenu, name: str) -> QAction:
        action = QAction(counting_rule(name).title, menu)
        action.setCheckable(True)
        self._group.addAction(action)
        menu.addAction(action)
        action.triggered.connect(lambda: self._take(name))
        return action

    def _ask(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Counting rule", "", "Rules (*.toml)")
        if chosen:
            self._take(chosen)

    def _take(self, source: str) -> None:
        try:
            self.take(counting_rule(source))
        except OptionError as err:
            show_error(str(err))
        self.refresh()
