"""The cells that people named, as a folder of images that ``train`` and ``adapt`` read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_deepheme.analysis.corrections import settled
from napari_deepheme.analysis.result import Analysis
from napari_deepheme.errors import OptionError
from napari_deepheme.export.files import check_folder
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import crops
from napari_deepheme.tables import write_whole

_AT_ONCE = 32


def write_training_set(analysis: Analysis, slide: Slide, folder: Path) -> Job[int]:
    """Write a PNG for each cell that a person named, ``<CLASS>/<slide>-<cell>.png``; gives how many.

    Crops are those that the model sees, in the slide's own colours: its size and µm/px.

    Raises
    ------
    OptionError
        Nobody named a cell yet.
    OutputError
        The folder cannot be written.
    """
    said = {cell: each for cell, each in settled(analysis.corrections).items() if each.label}
    rows = [i for i, cell in enumerate(analysis.ids.tolist()) if cell in said and not said[cell].deleted]
    if not rows:
        raise OptionError("No cell was named by a person yet; name or accept some in Review first.")
    spec, stem = analysis.facts.bundle, analysis.facts.slide.path.stem
    check_folder(folder)
    for start in range(0, len(rows), _AT_ONCE):
        some = np.array(rows[start : start + _AT_ONCE], np.intp)
        cells = [int(analysis.ids[i]) for i in some]
        # where a person moved the cell, if so
        yx = np.array([said[c].yx or tuple(analysis.cells.yx[i]) for c, i in zip(cells, some, strict=True)])
        for cell, pixels in zip(cells, crops(slide, yx, spec.input_px, spec.mpp), strict=True):
            picture, target = Image.fromarray(pixels), folder / said[cell].label / f"{stem}-{cell}.png"
            check_folder(target.parent)
            write_whole(target, lambda part, one=picture: one.save(part, "PNG"))  # type: ignore[misc]
        yield Progress("Writing crops", start + len(some), len(rows))
    return len(rows)
