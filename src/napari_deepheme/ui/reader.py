"""napari reader: a slide as one lazy RGB layer in µm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
from dask.delayed import delayed

from napari_deepheme.slide import Slide, open_slide
from napari_deepheme.slide.location import SlidePath, slide_path, whole
from napari_deepheme.ui.layer_keys import LayerKey

LayerData = tuple[Any, dict[str, Any], str]

SUFFIXES = (
    ".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".tif", ".tiff", ".btf", ".png", ".jpg", ".jpeg", ".jp2",
    ".webp", ".bmp", ".dcm", ".mrxs", ".vms", ".czi", ".zarr",
)  # fmt: skip


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Tell whether these files look like slides, by their names alone.

    Parameters
    ----------
    path : str or sequence of str
        One file, or several that are each opened as a layer of their own.

    Returns
    -------
    callable or None
        Reads the same ``path`` into napari layers; None if another reader should be asked.
    """
    paths = _paths(path)
    if paths and all(each.name.lower().endswith(SUFFIXES) for each in paths):
        return read_slides
    return None


def read_slides(path: str | Sequence[str]) -> list[LayerData]:
    """Open each slide as a multiscale image layer.

    Raises
    ------
    SlideError
        A file cannot be opened; the message says why.
    """
    return [slide_layer(open_slide(each)) for each in _paths(path)]


def slide_layer(slide: Slide) -> LayerData:
    """Describe the image layer that shows a slide: pyramid, scale in µm, and where it came from.

    The slide stays open for as long as the layer's data live.
    """
    info = slide.info
    pyramid = slide.pyramid()
    several = len(pyramid) > 1
    unit = "um" if info.mpp else "pixel"
    metadata = {
        LayerKey.SLIDE: whole(info.path),
        LayerKey.MPP: info.mpp,
        LayerKey.MPP_SOURCE: info.mpp_source,
        "format": info.format,
        "warnings": list(info.warnings),
        "associated": {name: _later(slide, name) for name in info.associated},
    }
    options: dict[str, Any] = {
        "name": info.path.name.removesuffix(info.path.suffix).removesuffix(".ome"),
        "rgb": True,
        "multiscale": several,
        "scale": info.mpp or (1.0, 1.0),
        "units": (unit, unit),
        "contrast_limits": (0, 255),
        "cache": False,  # the slide holds what it decodes; napari would, too, in a quarter of memory
        "metadata": metadata,
    }
    return (pyramid if several else pyramid[0]), options, "image"


def _later(slide: Slide, name: str) -> da.Array:
    """Wrap an associated image as an array that is decoded when it is looked at."""
    later = delayed(slide.associated_image)(name)
    array: da.Array = da.from_delayed(later, (*slide.associated_shape(name), 3), "uint8")  # type: ignore[no-untyped-call]
    return array


def _paths(path: str | Sequence[str]) -> list[SlidePath]:
    return [slide_path(path)] if isinstance(path, str | Path) else [slide_path(each) for each in path]
