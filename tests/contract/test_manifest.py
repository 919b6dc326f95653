"""What napari is promised about the plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from napari._app_model.constants import MenuId
from npe2 import PluginManifest

from napari_deepheme.ui.reader import SUFFIXES

PACKAGE = Path(__file__).parents[2] / "src" / "napari_deepheme"
MANIFEST = PluginManifest.from_file(PACKAGE / "napari.yaml")
UI_MODULES = sorted(path.stem for path in (PACKAGE / "ui").glob("*.py") if path.stem != "__init__")


def test_every_command_can_be_imported():
    MANIFEST.validate_imports()


def test_the_manifest_is_seen_at_the_top():
    assert (PACKAGE.parents[1] / "napari.yaml").resolve() == PACKAGE / "napari.yaml"


def test_the_reader_is_asked_for_all_it_can_read():
    patterns = MANIFEST.contributions.readers[0].filename_patterns
    assert patterns == [*(f"*{suffix}" for suffix in SUFFIXES), "http*://*[?]*"]


def test_commands_stand_in_menus_that_napari_shows():
    assert set(MANIFEST.contributions.menus) <= {str(menu) for menu in MenuId.contributables()}


def test_no_reader_and_no_dock_imports_torch():
    modules = [f"napari_deepheme.ui.{name}" for name in UI_MODULES]
    code = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted({'torch', 'timm', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
