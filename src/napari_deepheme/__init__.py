"""Bone-marrow and blood differentials with per-cell uncertainty, by snapshot ensembles. Research use only.

The same engine serves napari, the command line and Python::

    from napari_deepheme import AnalysisOptions, analyse, cells_table, drain, load_bundle, open_slide

    with open_slide("smear.svs") as slide:
        analysis = drain(analyse(slide, load_bundle("pbc-11"), AnalysisOptions(target_cells=500)))
    cells_table(analysis).to_csv("cells.csv", index=False)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_deepheme.analysis.engine import Engine
    from napari_deepheme.analysis.options import AnalysisOptions, RunOptions
    from napari_deepheme.analysis.result import Analysis
    from napari_deepheme.analysis.run import analyse, analyse_with
    from napari_deepheme.classify.bundle import Bundle, load_bundle
    from napari_deepheme.export.table import cells_table
    from napari_deepheme.jobs import Job, Progress, drain
    from napari_deepheme.models.device import Device, Precision
    from napari_deepheme.slide.reader import Slide, open_slide
    from napari_deepheme.stats.assessment import AssessmentOptions
    from napari_deepheme.stats.differential import Differential
    from napari_deepheme.store.analysis_file import AnalysisFile
    from napari_deepheme.store.opening import open_analysis

_HOME = {
    "Analysis": "analysis.result",
    "AnalysisFile": "store.analysis_file",
    "AnalysisOptions": "analysis.options",
    "AssessmentOptions": "stats.assessment",
    "Bundle": "classify.bundle",
    "Device": "models.device",
    "Differential": "stats.differential",
    "Engine": "analysis.engine",
    "Job": "jobs",
    "Precision": "models.device",
    "Progress": "jobs",
    "RunOptions": "analysis.options",
    "Slide": "slide.reader",
    "analyse": "analysis.run",
    "analyse_with": "analysis.run",
    "cells_table": "export.table",
    "drain": "jobs",
    "load_bundle": "classify.bundle",
    "open_analysis": "store.opening",
    "open_slide": "slide.reader",
}
"""Modules of the public names: each is imported when its name is first asked for, so that a command or napari
does not wait for what it does not use (PEP 562)."""

__all__ = [
    "Analysis",
    "AnalysisFile",
    "AnalysisOptions",
    "AssessmentOptions",
    "Bundle",
    "Device",
    "Differential",
    "Engine",
    "Job",
    "Precision",
    "Progress",
    "RunOptions",
    "Slide",
    "analyse",
    "analyse_with",
    "cells_table",
    "drain",
    "load_bundle",
    "open_analysis",
    "open_slide",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
