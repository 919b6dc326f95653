"""The judged fields of a slide as one shapes layer that a person can edit. No Qt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Image, Shapes
from numpy.typing import NDArray

from napari_deepheme.fields import Field, FieldKind, ranked
from napari_deepheme.ui.drawn import image_shape
from napari_deepheme.ui.layer_keys import LayerKey
from napari_deepheme.ui.layers import placement
from napari_deepheme.ui.napari_versions import draw_text_if_any, insert_aside, on_selected, unwrapped
from napari_deepheme.ui.slides import fields_on, is_fields, slide_path

if TYPE_CHECKING:
    from napari.components import ViewerModel

_DRAWN = "drawn"
_DEFAULTS = {
    "field": "",
    "kind": _DRAWN,
    "score": np.nan,
    "cells": np.nan,
    "reason": "drawn by a person",
    "use": True,
}
_USED = "#0a8f3c"
_LEFT: dict[str, str] = {
    FieldKind.GOOD: "#5f8f78",
    FieldKind.GLASS: "#9a9a9a",
    FieldKind.RED_CELLS: "#a86f6f",
    FieldKind.THICK: "#7a5c99",
    FieldKind.PARTICLE: "#6e5546",
    FieldKind.BLURRED: "#64788f",
    FieldKind.PALE: "#a8964a",
    FieldKind.FOREIGN: "#505050",
}
# cells must stay visible: nothing over the used fields, a veil over the others so that one tells them apart
# where all their neighbours are used
_USED_EDGE, _LEFT_EDGE, _LEFT_VEIL = 0.8, 0.5, 0.1
_NOT_NEEDED = "enough cells without it"


def show_fields(viewer: ViewerModel, image: Image, fields: Sequence[Field], used: Collection[str]) -> Shapes:
    """Lay the fields over their slide, under everything else, and leave the selected layers selected.

    The former overlay of the slide is replaced, unless a person renamed or edited it.

    Parameters
    ----------
    viewer : ViewerModel
    image : Image
        The slide's layer.
    fields : sequence of Field
    used : collection of str
        Names of the fields that are counted in.
    """
    viewer, image = unwrapped(viewer), unwrapped(image)
    layer = fields_layer(fields, used, image)
    for former in fields_on(viewer, image):
        if not has_edits(former):
            viewer.layers.remove(former)
    insert_aside(viewer.layers, viewer.layers.index(image) + 1, layer)
    draw_text_if_any(viewer, layer)
    layer.metadata[LayerKey.FIELDS]["name"] = layer.name  # napari made it unique
    return layer


def fields_layer(fields: Sequence[Field], used: Collection[str], image: Image) -> Shapes:
    """Make the overlay of a slide's fields, for the place of its image."""
    fields = sorted(fields, key=lambda field: field.region.name in used)  # the used ones' edges on top
    outlines = [field.region.outline for field in fields]
    layer = Shapes(
        outlines or None,
        shape_type="rectangle",  # twice as quick to make as polygons
        ndim=2,
        features=_features(fields, used),
        feature_defaults=_DEFAULTS,
        edge_width=_edge_px(outlines, image_shape(image)),
        opacity=1.0,
        name=f"{image.name} fields",
        metadata={LayerKey.FIELDS: {"slide": str(slide_path(image))}},
        **placement(image),
    )
    recolour(layer)
    on_selected(layer, lambda *_: _draw_used(layer))
    layer.metadata[LayerKey.FIELDS] |= {"name": layer.name, "made": _fingerprint(layer)}
    return layer


def _draw_used(layer: Shapes) -> None:
    """Let what is drawn next be used: an older napari gives it the features of the shape selected last."""
    if layer.feature_defaults["kind"].iloc[0] != _DRAWN:
        layer.feature_defaults = _DEFAULTS


def has_edits(layer: Shapes) -> bool:
    """Whether a person renamed an overlay, drew, moved or deleted a field, or changed which are used."""
    said: Mapping[str, Any] = layer.metadata[LayerKey.FIELDS]
    return bool(layer.name != said["name"] or _fingerprint(layer) != said["made"])


def use_selected(layer: Shapes, *, use: bool) -> None:
    """Use or leave the selected fields; nothing is selected then, so that all the used ones count."""
    layer.features.loc[sorted(layer.selected_data), "use"] = use
    layer.selected_data = set()
    recolour(layer)
    layer.events.features()


def recolour(layer: Shapes) -> None:
    """Colour the fields by whether they are used and, those left, by why."""
    columns = (layer.features["kind"].astype(str), layer.features["use"].astype(bool))
    colours = np.array([_colours(kind, use) for kind, use in zip(*columns, strict=True)]).reshape(-1, 2, 4)
    layer.edge_color, layer.face_color = colours[:, 0], colours[:, 1]
    if not layer.selected_data:  # else the selected ones would take them
        layer.current_edge_color, layer.current_face_color = _colours(_DRAWN, use=True)


def describe_choice(layer: Shapes) -> str:
    """Say which shapes of a layer count."""
    selected, n = len(layer.selected_data), len(layer.data)
    what = "field" if is_fields(layer) else "shape"
    if selected:
        return f"Only the selected count: {selected} of {_many(n, what)}."
    if not is_fields(layer):
        return f"{_many(n, what)} drawn" if n else "Nothing drawn yet: draw on this layer."
    used = layer.features["use"].to_numpy(bool)
    return f"{used.sum()} of {_many(n, what)} used"


def describe_field(layer: Shapes, position: tuple[float, ...]) -> str:
    """Say what is known of the field at a place in the world, nothing where there is none."""
    index = layer.get_value(position, world=True)[0] if layer.visible else None
    if index is None or index >= len(layer.features):
        return ""
    field = layer.features.iloc[index]
    name = field["field"] or f"shape {index + 1}"
    first = f"{name} · {'used' if field['use'] else 'left'} · {field['kind']}"
    if field["score"] > 0:
        first += f" · score {field['score']:.2f}"
    return f"{first}: {field['reason']}" if field["reason"] else first


def _features(fields: Sequence[Field], used: Collection[str]) -> pd.DataFrame:
    rows = [
        (
            f.region.name,
            f.kind.value,
            round(f.score, 3),
            round(f.cells, 1),
            _reason(f, used),
            f.region.name in used,
        )
        for f in fields
    ]
    table = pd.DataFrame(rows, columns=list(_DEFAULTS))
    return table.astype({"score": float, "cells": float, "use": bool})


def _reason(field: Field, used: Collection[str]) -> str:
    if not ranked([field]) or field.region.name in used:
        return field.reason
    return f"{field.reason}; {_NOT_NEEDED}" if field.reason else _NOT_NEEDED


def _colours(kind: str, use: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Red, green, blue and opacity, 0 to 1, of the outline and of the middle."""
    colour = _USED if use else _LEFT.get(kind, _LEFT[FieldKind.GOOD])
    rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    edge, middle = (_USED_EDGE, 0.0) if use else (_LEFT_EDGE, _LEFT_VEIL)
    return np.array([*rgb, edge]), np.array([*rgb, middle])


def _edge_px(outlines: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> float:
    """Width of the outlines, level-0 pixels: thin beside a field, yet seen with the whole slide in view."""
    if not outlines:
        return max(shape) / 500
    field_px = float(np.median([np.ptp(outline, axis=0).max() for outline in outlines]))
    return min(max(field_px / 160, max(shape) / 450), field_px / 40)


def _fingerprint(layer: Shapes) -> str:
    """Changes when an outline does, or which are used."""
    outlines = b"".join(np.asarray(each, np.float64).tobytes() for each in layer.data)
    return sha256(outlines + layer.features["use"].to_numpy(bool).tobytes()).hexdigest()


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
