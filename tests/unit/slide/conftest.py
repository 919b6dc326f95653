"""The check that no test leaves a file open."""

from __future__ import annotations

import gc

import psutil
import pytest


@pytest.fixture(autouse=True)
def no_file_left_open():
    """A slide left open holds its file: on Windows it could then be neither moved nor deleted."""
    before = {file.path for file in psutil.Process().open_files()}
    yield
    gc.collect()
    left = {file.path for file in psutil.Process().open_files()} - before
    assert not left, f"left open: {left}"
