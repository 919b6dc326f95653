"""Rendered smears with known truth: a sample slide, training examples, fixtures and a benchmark."""

from napari_deepheme.synth.looks import CLASS_CODES
from napari_deepheme.synth.patch import render_patch
from napari_deepheme.synth.render import render_region
from napari_deepheme.synth.smear import SmearSpec, truth
from napari_deepheme.synth.stain import Stain
from napari_deepheme.synth.write import write_smear

__all__ = ["CLASS_CODES", "SmearSpec", "Stain", "render_patch", "render_region", "truth", "write_smear"]
