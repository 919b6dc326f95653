"""The analysis file: one SQLite file that keeps an analysis, unit by unit, and what people corrected."""

from napari_deepheme.store.analysis_file import AnalysisFile
from napari_deepheme.store.opening import open_analysis
from napari_deepheme.store.places import SUFFIX, analyses_of, analysis_folder, continued, numbered_analyses
from napari_deepheme.store.signature import signature_of

__all__ = [
    "SUFFIX",
    "AnalysisFile",
    "analyses_of",
    "analysis_folder",
    "continued",
    "numbered_analyses",
    "open_analysis",
    "signature_of",
]
