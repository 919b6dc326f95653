"""What the docks know of a slide from its image layer. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Layer, Points, Shapes

from napari_deepheme.slide.location import RemotePath, SlidePath
from napari_deepheme.slide.location import slide_path as located
from napari_deepheme.ui.drawn import image_shape
from napari_deepheme.ui.layer_keys import LayerKey
from napari_deepheme.ui.layers import is_cells, origin_of, rescale

if TYPE_CHECKING:
    from napari.components import ViewerModel

GIVEN = "given by the user"
"""What ``mpp_source`` says where a person stated the µm/px."""


def slide_path(layer: Layer) -> SlidePath | None:
    """File of an RGB image layer that can be classified; None for any other layer."""
    if not isinstance(layer, Image) or not layer.rgb:
        return None
    path = located(str(layer.metadata.get(LayerKey.SLIDE) or layer.source.path or ""))
    return path if isinstance(path, RemotePath) or path.is_file() else None


def slide_layers(viewer: ViewerModel) -> list[Image]:
    """Image layers that can be classified, in the order of the layer list."""
    return [layer for layer in viewer.layers if slide_path(layer) is not None]


def mpp_of(layer: Image) -> tuple[float, float] | None:
    """µm/px (y, x) that the layer was opened with or that a person gave; None when not known."""
    mpp: tuple[float, float] | None = layer.metadata.get(LayerKey.MPP)
    return mpp


def lacks_mpp(layer: Image) -> bool:
    """Whether the file is known not to tell its µm/px, and no person did."""
    return LayerKey.SLIDE in layer.metadata and mpp_of(layer) is None


def given_mpp(layer: Image) -> float | None:
    """µm/px that a person gave, which replaces what the file says; else None."""
    mpp = mpp_of(layer)
    return mpp[0] if mpp and layer.metadata.get(LayerKey.MPP_SOURCE) == GIVEN else None


def describe(layer: Image) -> tuple[str, str]:
    """Two lines for a person: format and size, µm/px and where that comes from."""
    height, width = image_shape(layer)
    kind = layer.metadata.get("format")
    size = f"{width:,} × {height:,} px".replace(",", "\u202f")
    mpp = mpp_of(layer)
    if mpp is not None:
        value = f"{mpp[0]:.4g}" if abs(mpp[0] - mpp[1]) < 1e-4 * mpp[0] else f"{mpp[0]:.4g} × {mpp[1]:.4g}"
        scale = f"{value} µm/px ({_source(layer)})"
    elif lacks_mpp(layer):
        scale = "⚠ µm/px unknown: state it below"
    else:
        scale = "µm/px: read from the file when classifying"
    return f"{kind} · {size}" if kind else size, scale


def set_mpp(viewer: ViewerModel, layer: Image, mpp: float) -> None:
    """State a slide's µm/px: its image, cells and fields are drawn at that scale from now on."""
    layer.metadata.update({LayerKey.MPP: (mpp, mpp), LayerKey.MPP_SOURCE: GIVEN})
    for each in [layer, *cells_on(viewer, layer), *fields_on(viewer, layer)]:
        each.scale = (mpp, mpp)
        each.units = ("um", "um")
        if isinstance(each, Points):
            rescale(each, (mpp, mpp))


def cells_on(viewer: ViewerModel, layer: Image) -> list[Points]:
    """Cells layers of a slide."""
    path = str(slide_path(layer))
    return [each for each in viewer.layers if is_cells(each) and origin_of(each).slide == path]


def is_fields(layer: Layer | None) -> bool:
    """Whether a layer is an overlay of judged fields."""
    return isinstance(layer, Shapes) and LayerKey.FIELDS in layer.metadata and "use" in layer.features


def fields_on(viewer: ViewerModel, layer: Image) -> list[Shapes]:
    """Overlays of judged fields of a slide."""
    path = str(slide_path(layer))
    return [
        each for each in viewer.layers if is_fields(each) and each.metadata[LayerKey.FIELDS]["slide"] == path
    ]


def _source(layer: Image) -> str:
    source = str(layer.metadata.get(LayerKey.MPP_SOURCE, ""))
    return source if source == GIVEN else f"from the file: {source}" if source else "from the file"
