"""Slides of the session lie in one folder: the analyses of each test are kept apart."""

from __future__ import annotations

import pytest

from napari_deepheme.ui import opening, run


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "analysis_folder", lambda _: tmp_path)
    monkeypatch.setattr(opening, "analysis_folder", lambda _: tmp_path)
    return tmp_path
