"""The folded part of the dock: what is seldom changed."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QWidget

from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
from napari_deepheme.models.device import Device, Precision
from napari_deepheme.ui.widgets import Folded, tip

_STAIN_TIP = (
    "Show the cells in the colours of the training cells, in as many views as the model asks for. They are "
    "measured on cells from all over the slide. Switch it off to see what the slide's own colours give."
)
_PRIOR_TIP = (
    "Use how often each class occurs on the slide, estimated on cells from all over it, in calls. Switch it "
    "off where finding cells of rare classes matters more than the count."
)
_DEVICE_TIP = (
    "Where the networks run; auto takes a GPU if torch can use one. Choose cpu if its memory is in use."
)
_PRECISION_TIP = (
    "Precision of the networks' arithmetic; auto takes bf16 where it is fast. Choose fp32 to get the same "
    "numbers on every machine."
)


class AdvancedBox(Folded):
    """Says how the networks run and what of the slide they are matched to."""

    def __init__(self) -> None:
        super().__init__("Advanced", "How the networks run, and what of the slide the calls are matched to.")
        usual, run = AnalysisOptions(), RunOptions()
        self.stain_check = tip(QCheckBox("the stain"), _STAIN_TIP)
        self.stain_check.setChecked(usual.match_stain)
        self.prior_check = tip(QCheckBox("the class prior"), _PRIOR_TIP)
        self.prior_check.setChecked(usual.assessment.match_prior)
        self.device_combo = tip(_combo([device.value for device in Device], run.device), _DEVICE_TIP)
        self.precision_combo = tip(
            _combo([precision.value for precision in Precision], run.precision), _PRECISION_TIP
        )
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Match", self.stain_check)
        form.addRow("", self.prior_check)
        form.addRow("Device", self.device_combo)
        form.addRow("Precision", self.precision_combo)
        self.addWidget(content)
        for each in (self, self.content()):
            if (layout := each.layout()) is not None:
                layout.setContentsMargins(0, 0, 0, 0)

    def applied(self, options: AnalysisOptions) -> AnalysisOptions:
        """Options with what is chosen here."""
        assessment = replace(options.assessment, match_prior=self.prior_check.isChecked())
        return replace(options, match_stain=self.stain_check.isChecked(), assessment=assessment)

    @property
    def run_options(self) -> RunOptions:
        """How the networks run."""
        return RunOptions(
            Device(self.device_combo.currentText()), Precision(self.precision_combo.currentText())
        )


def _combo(values: list[str], chosen: str) -> QComboBox:
    combo = QComboBox()
    combo.addItems(values)
    combo.setCurrentText(chosen)
    return combo
