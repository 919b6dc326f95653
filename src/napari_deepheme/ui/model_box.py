"""The part of the dock that chooses a model and says what it does not know."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QGridLayout,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import WorkerBase, create_worker

from napari_deepheme.classify.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from napari_deepheme.errors import DeepHemeError
from napari_deepheme.models.bundle import SPEC_FILE, embedded_bundles
from napari_deepheme.taxonomy import DEEPHEME_23, Taxonomy
from napari_deepheme.ui.widgets import button, label, tip

_OTHER = "Other…"
_EXPECTED = ("M1", "L4")  # what a reader of a marrow looks for first, and blood models lack


def missing_classes(taxonomy: Taxonomy) -> str:
    """Warn of what a model cannot see, in a few words; empty when it knows all of it."""
    missing = [f"no {DEEPHEME_23[code].name.lower()}s" for code in _EXPECTED if code not in taxonomy.codes]
    return f"⚠ knows {', '.join(missing)}" if missing else ""


class ModelBox(QWidget):
    """Chooses a model bundle: one that comes with the package, or a folder or zip.

    Signals
    -------
    changed : None
    failed : str
        What went wrong, one sentence.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._bundle: Bundle | None = None
        self._loading: WorkerBase[Bundle] | None = None
        self.combo = tip(
            QComboBox(),
            "The model that names the cells. “Other…” takes a bundle's folder or zip, for example of a model "
            "trained on marrow.",
        )
        self.card_button = button(
            "card", "Read the model card: training data, measured accuracy, limits, licence.", self._show_card
        )
        self.combo.setAccessibleName("Model")
        self.setFocusProxy(self.combo)
        self.line = label()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.combo, 0, 0)
        grid.addWidget(self.card_button, 0, 1)
        grid.addWidget(self.line, 1, 0, 1, 2)
        grid.setColumnStretch(0, 1)
        for name in sorted(embedded_bundles(), key=lambda name: name != DEFAULT_BUNDLE):
            self.combo.addItem(name, name)
        self.combo.addItem(_OTHER, None)
        self.combo.currentIndexChanged.connect(self._on_choice)
        self.combo.activated.connect(self._on_activated)
        self._on_choice()

    @property
    def source(self) -> str | None:
        """Name of an embedded bundle, or path of another; None when none is chosen."""
        source: str | None = self.combo.currentData()
        return source

    def add(self, path: Path) -> None:
        """Offer a bundle's folder or zip, and choose it."""
        self.combo.insertItem(self.combo.count() - 1, path.stem, str(path))
        self.combo.setCurrentIndex(self.combo.count() - 2)

    def _on_activated(self) -> None:
        if self.source is None:
            self._ask()

    def _ask(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self,
            "Model bundle: its zip, or bundle.json in its folder",
            "",
            f"Model bundle ({SPEC_FILE} *.zip)",
        )
        if chosen:
            path = Path(chosen)
            self.add(path.parent if path.name == SPEC_FILE else path)
        elif self.combo.count() > 1:
            self.combo.setCurrentIndex(0)

    def _on_choice(self) -> None:
        self._bundle = None
        if self._loading is not None:
            # another is chosen before it came
            self._loading.returned.disconnect(self._on_loaded)
            self._loading.errored.disconnect(self._on_refused)
            self._loading = None
        self.card_button.setEnabled(False)
        self.line.setText("Choose a model." if self.source is None else "")
        self.line.setVisible(self.source is None)
        if self.source is not None:
            # hashing a large bundle would hold the window up
            self._loading = create_worker(load_bundle, self.source, _start_thread=False, _ignore_errors=True)
            # slots of this widget, which Qt lets go of with it: the thread may end after the dock
            self._loading.returned.connect(self._on_loaded)
            self._loading.errored.connect(self._on_refused)
            self._loading.start()
        self.changed.emit()

    def _on_loaded(self, bundle: Bundle) -> None:
        self._loading = None
        self._bundle = bundle
        self.card_button.setEnabled(True)
        warning = missing_classes(bundle.spec.taxonomy)
        self.line.setText(warning)
        self.line.setVisible(bool(warning))

    def _on_refused(self, err: Exception) -> None:
        self._loading = None
        self.line.setText(f"⚠ {err}")
        self.line.setVisible(True)

    def _show_card(self) -> None:
        if self._bundle is None:
            return
        try:
            card = self._bundle.card
        except DeepHemeError as err:
            self.failed.emit(str(err))
            return
        _CardDialog(self._bundle.spec.name, card, self).exec()


class _CardDialog(QDialog):
    def __init__(self, name: str, card: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Model card: {name}")
        self.resize(640, 560)
        text = QTextBrowser()
        text.setMarkdown(card)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)
