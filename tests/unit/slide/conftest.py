"""The check that no test leaves a file open."""

from __future__ import annotations

import gc
import time

import psutil
import pytest


@pytest.fixture(autouse=True)
def no_file_left_open():
    """A slide left open holds its file: on Windows it could then be neither moved nor deleted."""
    before = {file.path for file in psutil.Process().open_files()}
    yield
    for _ in range(50):
        left = {file.path for file in psutil.Process().open_files()} - before
        if not left:
            return
        gc.collect()  # a test that expects an error holds the slide by the error's frames
        time.sleep(0.1)  # zarr's threads read on for a moment after one of them has failed
    raise AssertionError(f"left open: {left}")
