"""Bone-marrow and blood differentials with per-cell uncertainty, by snapshot ensembles. Research use only.

The same engine serves napari, the command line and Python::

    from napari_deepheme import AnalysisOptions, analyse, cells_table, drain, load_bundle, open_slide

    with open_slide("smear.svs") as slide:
        analysis = drain(analyse(slide, load_bundle("pbc-11"), AnalysisOptions(target_cells=500)))
    cells_table(analysis).to_csv("cells.csv", index=False)
"""

from napari_deepheme.analyse.analysis import Analysis, AnalysisOptions
from napari_deepheme.analyse.pipeline import analyse
from napari_deepheme.classify.bundle import Bundle, load_bundle
from napari_deepheme.export import cells_table
from napari_deepheme.jobs import Job, Progress, drain
from napari_deepheme.models.device import Device, Precision
from napari_deepheme.slide.reader import Slide, open_slide
from napari_deepheme.stats.differential import Differential

__all__ = [
    "Analysis",
    "AnalysisOptions",
    "Bundle",
    "Device",
    "Differential",
    "Job",
    "Precision",
    "Progress",
    "Slide",
    "analyse",
    "cells_table",
    "drain",
    "load_bundle",
    "open_slide",
]
