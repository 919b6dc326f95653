"""What importing costs: a command or a window waits for what it uses, not for all that there is."""

import subprocess
import sys

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


def test_the_command_line_and_its_help_import_nothing_slow():
    asked = (("--help",), ("classify", "--help"), ("evaluate", "--help"))
    code = "\n".join(command(*arguments) for arguments in asked)
    assert loaded(code, SLOW + NETWORKS) == []


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
