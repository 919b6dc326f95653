"""Slides that another run has: whether it is still at work, as far as its files tell."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from napari_deepheme.batch.groups import Group
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.store import numbered_analyses

BUSY_SECONDS = 300.0
"""How long a slide that another run has may stand still before it is given up."""


class OtherRuns:
    """What was last seen of the files that other runs write.

    Parameters
    ----------
    out : Path
        Folder of the results.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._stood_still: dict[Path, tuple[float, float]] = {}

    def move(self, slide: SlidePath, group: Group | None) -> bool:
        """Whether the analysis of a slide, or of a group of its tiles, changed in the last minutes."""
        name, folder = (slide, self._out) if group is None else (group.name, group.folder)
        changed, now = 0.0, time.monotonic()
        for file in numbered_analyses(name, folder):
            for each in (file, file.with_name(f"{file.name}-wal")):
                with suppress(OSError):  # its run may just have ended
                    changed = max(changed, each.stat().st_mtime)
        key = folder / name.stem
        before, since = self._stood_still.get(key, (-1.0, now))
        if changed != before:
            self._stood_still[key] = changed, now
            return True
        return now - since < BUSY_SECONDS
