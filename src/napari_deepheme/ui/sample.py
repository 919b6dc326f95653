"""napari sample data: the rendered blood smear that comes with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from napari_deepheme.errors import SlideError
from napari_deepheme.ui.reader import LayerData, read_slides

SAMPLE = Path(str(files("napari_deepheme"))) / "sample_data" / "smear.svs"


def blood_smear() -> list[LayerData]:
    """Open the sample smear with our slide reader.

    Raises
    ------
    SlideError
        The installation lacks it.
    """
    if not SAMPLE.is_file():
        raise SlideError(f"{SAMPLE} is missing; install napari-deepheme again, or open a slide of your own.")
    return read_slides(str(SAMPLE))
