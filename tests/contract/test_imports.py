"""What importing costs: a command or a window waits for what it uses, not for all that there is."""

import subprocess
import sys

import pytest

from napari_deepheme.sample_data import SAMPLE_SLIDE

SLOW = ("dask", "matplotlib", "pandas", "pyarrow", "scipy", "skimage", "statsmodels", "tifffile")
NETWORKS = ("timm", "torch", "torchvision")


def loaded(code: str, modules: tuple[str, ...]) -> list[str]:
    """Those of the modules that a fresh Python has loaded after running the code."""
    code += f"\nimport sys\nprint('\\n', [m for m in {modules} if m in sys.modules], sep='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [name for name in modules if repr(name) in done.stdout.splitlines()[-1]]


def command(*arguments: str) -> str:
    """Code that runs the command line with these arguments."""
    return (
        f"import sys\nsys.argv = ['napari-deepheme', *{arguments}]\n"
        "from napari_deepheme.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    )


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
    assert loaded(f"import {module}", NETWORKS) == []


@pytest.mark.parametrize("module", ["napari_deepheme", "napari_deepheme.cli"])
def test_the_package_and_its_command_line_import_nothing_slow(module):
    assert loaded(f"import {module}", SLOW + NETWORKS) == []


@pytest.mark.parametrize("arguments", [("--help",), ("classify", "--help"), ("evaluate", "--help")])
def test_help_is_printed_without_anything_slow(arguments):
    assert loaded(command(*arguments), SLOW + NETWORKS) == []


def test_info_imports_what_opens_the_slide_and_nothing_else_that_is_slow():
    assert loaded(command("info", str(SAMPLE_SLIDE)), SLOW + NETWORKS) == ["tifffile"]


def test_the_shipped_models_run_without_timm_and_without_what_crashes_a_window():
    code = (
        "from napari_deepheme.classify.bundle import load_bundle\n"
        "from napari_deepheme.classify.ensemble import Ensemble\n"
        "from napari_deepheme.detect.choose import DEFAULT_DETECTOR, named_detector\n"
        "from napari_deepheme.models.device import Device\n"
        "Ensemble(load_bundle(), Device.CPU)\n"
        "named_detector(DEFAULT_DETECTOR, Device.CPU)"
    )
    unwanted = ("timm", "torchvision", "triton", "torch._dynamo")
    assert loaded(code, (*unwanted, "torch")) == ["torch"]
