"""The folded part of the dock: what is seldom changed."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QWidget
from superqt import QCollapsible

from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.models.device import Device, Precision
from napari_deepheme.ui.widgets import tip

_STAIN_TIP = (
    "Show the cells to the model in the colours it learned from, measured on cells from all over the slide. "
    "Switch it off to see what the slide's own colours give: in another laboratory mostly worse calls."
)
_MIXTURE_TIP = (
    "Reckon with how often each class occurs, estimated on cells from all over the slide. Switch it off "
    "where finding cells of rare classes matters more than the count."
)
_DEVICE_TIP = (
    "Where the networks run; auto takes a GPU if torch can use one. Choose cpu if its memory is in use."
)
_PRECISION_TIP = (
    "In what the networks reckon; auto takes bf16 where it is fast. Choose fp32 to get the same numbers on "
    "every machine."
)


class AdvancedBox(QCollapsible):
    """Says how the networks run and what of the slide they are matched to."""

    def __init__(self) -> None:
        # its own icons are drawn in black, whatever the theme
        super().__init__(expandedIcon=QIcon(), collapsedIcon=QIcon())
        title = tip(
            self.toggleButton(), "How the networks run, and what of the slide the calls are matched to."
        )
        title.setStyleSheet("text-align: left; border: none; background: transparent;")
        self.toggled.connect(self._entitle)
        self._entitle(expanded=False)
        usual = AnalysisOptions()
        self.stain_check = tip(QCheckBox("the stain"), _STAIN_TIP)
        self.stain_check.setChecked(usual.match_stain)
        self.mixture_check = tip(QCheckBox("the mixture of classes"), _MIXTURE_TIP)
        self.mixture_check.setChecked(usual.match_prior)
        self.device_combo = tip(_combo([device.value for device in Device], usual.device), _DEVICE_TIP)
        self.precision_combo = tip(
            _combo([precision.value for precision in Precision], usual.precision), _PRECISION_TIP
        )
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Match", self.stain_check)
        form.addRow("", self.mixture_check)
        form.addRow("Device", self.device_combo)
        form.addRow("Precision", self.precision_combo)
        self.addWidget(content)
        for each in (self, self.content()):
            if (layout := each.layout()) is not None:
                layout.setContentsMargins(0, 0, 0, 0)

    def _entitle(self, expanded: bool) -> None:
        self.setText("▾ Advanced" if expanded else "▸ Advanced")

    def applied(self, options: AnalysisOptions) -> AnalysisOptions:
        """Options with what is chosen here."""
        return replace(
            options,
            match_stain=self.stain_check.isChecked(),
            match_prior=self.mixture_check.isChecked(),
            device=Device(self.device_combo.currentText()),
            precision=Precision(self.precision_combo.currentText()),
        )


def _combo(values: list[str], chosen: str) -> QComboBox:
    combo = QComboBox()
    combo.addItems(values)
    combo.setCurrentText(chosen)
    return combo
