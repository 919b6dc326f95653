"""Tables of cells open without a question: napari itself claims every ``.csv``."""

from __future__ import annotations

from napari.settings import get_settings

PLUGIN = "napari-deepheme"
PATTERN = "*.cells.csv"


def prefer_our_tables() -> None:
    """Let napari open ``*.cells.csv`` with us, by dropping as by code, unless a person chose otherwise."""
    plugins = get_settings().plugins
    if PATTERN not in plugins.extension2reader:
        plugins.extension2reader = {**plugins.extension2reader, PATTERN: PLUGIN}
