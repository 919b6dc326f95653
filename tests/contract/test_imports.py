"""What importing costs: torch takes seconds and must wait for the first analysis."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "napari_deepheme",
        "napari_deepheme.cli",
        "napari_deepheme.ui.reader",
        "napari_deepheme.ui.classify_dock",
        "napari_deepheme.ui.summary_dock",
    ],
)
def test_no_door_into_the_package_imports_torch(module):
    code = f"import {module}, sys; print([m for m in ('torch', 'timm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
