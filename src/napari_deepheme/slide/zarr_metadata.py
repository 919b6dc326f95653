"""What OME-Zarr (0.4 and 0.5) says of a picture: axes, levels and µm/px."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_deepheme.slide.metadata import MISSING, Spacing

_MICROMETRES = {
    "angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0, "millimeter": 1e3,
    "centimeter": 1e4, "decimeter": 1e5, "meter": 1e6, "inch": 25400.0, "picometer": 1e-6,
    "nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6,
}  # fmt: skip
_SCALE = "OME-Zarr scale"
_RGB = ("FF0000", "00FF00", "0000FF")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Axis(_Part):
    """An axis of all arrays."""

    name: str
    unit: str | None = None


class Transform(_Part):
    """A step from pixels to the axes' units."""

    type: str
    scale: list[float] | None = None


class Dataset(_Part):
    """An array of the pyramid."""

    path: str
    transforms: list[Transform] = Field([], alias="coordinateTransformations")


class Multiscale(_Part):
    """A pyramid."""

    axes: Annotated[list[Axis], Field(min_length=2, max_length=5)]
    datasets: Annotated[list[Dataset], Field(min_length=1, max_length=100)]
    transforms: list[Transform] = Field([], alias="coordinateTransformations")
    name: str = ""


class Channel(_Part):
    """How a channel is shown."""

    color: str = ""


class Omero(_Part):
    """How the picture is shown."""

    channels: list[Channel] = []


class Ome(_Part):
    """The attributes of a group."""

    multiscales: list[Multiscale] = []
    omero: Omero = Omero()
    layout: int | None = Field(None, alias="bioformats2raw.layout")
    plate: Mapping[str, object] | None = None

    @classmethod
    def of(cls, attributes: Mapping[str, object]) -> Ome:
        """Take those of 0.5 from under "ome", those of 0.4 as they stand.

        Raises
        ------
        ValueError
            They are not as OME-Zarr wants them; the message says where.
        """
        try:
            return cls.model_validate(attributes.get("ome", attributes))
        except ValidationError as err:
            first = err.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from err


def spacing_of(multiscale: Multiscale) -> Spacing:
    """µm/px of the first level: the scales of the level and of the pyramid, in the axes' units."""
    names = [axis.name for axis in multiscale.axes]
    found: list[float] = []
    for name in "yx":
        at = names.index(name)
        value = _MICROMETRES.get((multiscale.axes[at].unit or "").replace("metre", "meter"), 0.0)
        scales = [
            each.scale
            for each in (*multiscale.datasets[0].transforms, *multiscale.transforms)
            if each.type == "scale"
        ]
        for scale in scales:
            value *= scale[at] if scale is not None and len(scale) == len(names) else 0.0
        found.append(value if scales else 0.0)
    y, x = found
    # a scale of 0, or without a unit, says nothing
    return ((y, x), _SCALE) if 0 < y < float("inf") and 0 < x < float("inf") else (None, MISSING)


def channels_fault(omero: Omero) -> str:
    """Say why three channels are not red, green and blue, or nothing."""
    colours = tuple(channel.color.upper().lstrip("#")[:6] for channel in omero.channels)
    if len(colours) == 3 and all(colours) and colours != _RGB and set(colours) != {"FFFFFF"}:
        return f"channels shown in the colours {', '.join(colours)}"
    return ""
