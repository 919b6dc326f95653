"""Pages for a person: an evaluation of a model, and the report of a slide. matplotlib is imported here."""

from napari_deepheme.report.evaluation import headline, render, write_report
from napari_deepheme.report.parts import RESEARCH_USE
from napari_deepheme.report.slide import SlideReport, render_slide, write_slide_report

__all__ = [
    "RESEARCH_USE",
    "SlideReport",
    "headline",
    "render",
    "render_slide",
    "write_report",
    "write_slide_report",
]
