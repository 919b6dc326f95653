"""Imports timm, also in a napari window, without crashing it.

timm brings torchvision, which brings triton, whose own LLVM ends the process with a segmentation fault
when the driver that draws the window has loaded LLVM too: Mesa's llvmpipe (virtual screens, remote
desktops) and radeonsi. See pytorch/pytorch#96060. No network needs triton, so there it is left out.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

_MAPS = Path("/proc/self/maps")


def import_timm() -> ModuleType:
    """The module timm; takes seconds when it is imported for the first time."""
    if "triton" in sys.modules or not _has_llvm():
        return import_module("timm")
    sys.modules["triton"] = None  # type: ignore[assignment]  # Python's way to say: not to be had
    try:
        return import_module("timm")
    finally:
        del sys.modules["triton"]


def _has_llvm() -> bool:
    """Whether a library with LLVM is loaded; only Linux tells, and only there the two collide."""
    return _MAPS.exists() and "llvm" in _MAPS.read_text(errors="replace").lower()
