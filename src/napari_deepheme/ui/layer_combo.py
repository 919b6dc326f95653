"""A choice among the viewer's layers that stays right while layers come, go and change their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari.layers import Layer
from qtpy.QtCore import QEvent, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_deepheme.ui.napari_versions import on_renamed

if TYPE_CHECKING:
    from napari.components import ViewerModel

_EVENTS = ("inserted", "removed", "reordered")


class LayerCombo(QComboBox):
    """Lists some of a viewer's layers, after entries of its own.

    The chosen layer stays chosen when it gets another name. While the combo is disabled, which it is during
    a run, nothing changes: a run may replace the chosen layer by a new one of its name.

    Parameters
    ----------
    viewer : ViewerModel
    lists : callable
        Whether a layer is one to list.
    first : sequence of str
        Entries before the layers.
    none : str
        What to show when there is nothing else.
    newest : bool
        Whether a layer that just came is chosen.

    Signals
    -------
    changed : None
        Another choice, or the choice has another name.
    """

    changed = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        lists: Callable[[Layer], bool],
        first: Sequence[str] = (),
        none: str = "",
        *,
        newest: bool = False,
    ) -> None:
        super().__init__()
        self._viewer, self._lists, self._first, self._none = viewer, lists, tuple(first), none
        self._newest = newest
        self._layers: list[Layer] = []
        self._names: list[str] = []
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.currentIndexChanged.connect(self.changed)
        for name in _EVENTS:
            getattr(viewer.layers.events, name).connect(self.refresh)
        self._end_renaming = on_renamed(viewer.layers, self.refresh)
        self._list_again()

    @property
    def layer(self) -> Layer | None:
        """The chosen layer; None when an entry of the combo's own is chosen, or nothing."""
        number = self.currentIndex() - len(self._first)
        return self._layers[number] if 0 <= number < len(self._layers) else None

    @property
    def has_layers(self) -> bool:
        """Whether there is a layer to choose."""
        return bool(self._layers)

    def choose(self, layer: Layer) -> None:
        """Choose a layer of the viewer."""
        self._list_again()
        self.setCurrentIndex(len(self._first) + self._layers.index(layer))

    def refresh(self, event: object = None) -> None:  # noqa: ARG002 - napari passes its event
        """List the layers again, unless a run is under way."""
        if self.isEnabled() or not self._layers:
            self._list_again()

    def stop(self) -> None:
        """Let go of the viewer."""
        for name in _EVENTS:
            getattr(self._viewer.layers.events, name).disconnect(self.refresh)
        self._end_renaming()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Catch up with the layers once the run is over."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.EnabledChange:
            self.refresh()

    def _list_again(self) -> None:
        layers = [layer for layer in self._viewer.layers if self._lists(layer)]
        names = [layer.name for layer in layers]
        if layers == self._layers and names == self._names and self.count():
            return
        index = self._index_among(layers, names)
        self._layers, self._names = layers, names
        self.blockSignals(True)
        self.clear()
        self.addItems([*self._first, *names] or [self._none])
        self.setCurrentIndex(index)
        self.blockSignals(False)
        self.changed.emit()

    def _index_among(self, layers: list[Layer], names: list[str]) -> int:
        """Where the present choice is found again: the layer itself, else one of its name, else the first."""
        fresh = [layer for layer in layers if layer not in self._layers]
        if self._newest and fresh:
            return len(self._first) + layers.index(fresh[-1])
        if self.layer in layers:
            return len(self._first) + layers.index(self.layer)
        if self.layer is not None and self.currentText() in names:
            return len(self._first) + names.index(self.currentText())
        return max(0, self.currentIndex()) if self.layer is None else 0
