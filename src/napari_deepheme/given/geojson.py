"""GeoJSON of QuPath and of others.

Its positions are QuPath's: x before y, level-0 pixels, (0, 0) the top-left corner of the first pixel. Ours
are half a pixel less, since (0, 0) is that pixel's centre.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_deepheme.cells import FARTHEST_PX
from napari_deepheme.errors import OptionError
from napari_deepheme.files import gunzip_bounded, read_bounded

Points: TypeAlias = NDArray[np.float64]

CORNER_PX = 0.5
"""From the corner of a pixel, QuPath's origin, to its centre, ours."""

MAX_BYTES = 128 * 2**20
"""Of text: as objects of Python it takes up to ten times as much."""
_MAX_DEPTH = 10
_CELL_KINDS = {"detection", "cell", "PathDetectionObject", "PathCellObject"}


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a file.

    Attributes
    ----------
    where : str
        File and number, for messages.
    properties : dict
        What it says of itself.
    shape : str
        GeoJSON's name of the geometry, "" for a feature that is nowhere.
    coordinates : object
        As in the file, unchecked.
    is_cell : bool
        Whether QuPath detected it, rather than a person drew it.
    """

    where: str
    properties: dict[str, object]
    shape: str
    coordinates: object
    is_cell: bool


def read_features(path: Path) -> list[Feature]:
    """Read a feature collection, a list of features, a feature or a bare geometry.

    Raises
    ------
    OptionError
        The file cannot be read or is no GeoJSON.
    """
    try:
        document = json.loads(read_text(path))
    except (ValueError, RecursionError) as err:
        raise OptionError(f"{path} is not GeoJSON ({err}); export the shapes as GeoJSON.") from err
    if isinstance(document, dict) and document.get("crs") is not None:
        raise OptionError(
            f"{path} says that its positions are of a map (crs), expected level-0 pixels; "
            "export the shapes from a program that shows the slide."
        )
    features = document.get("features", [document]) if isinstance(document, dict) else document
    if not isinstance(features, list):
        raise OptionError(f"{path} is not GeoJSON; expected features or a geometry, export the shapes again.")
    named = [(_feature(item, f"{path}: feature {i}")) for i, item in enumerate(features, start=1)]
    return [part for feature in named for part in _parts(feature)]


def _parts(feature: Feature, depth: int = 0) -> list[Feature]:
    """The geometries of a collection as features of their own, which share its properties."""
    if feature.shape != "GeometryCollection":
        return [feature]
    geometries = feature.coordinates
    if not isinstance(geometries, list) or depth > _MAX_DEPTH:
        raise OptionError(
            f"{feature.where}: a GeometryCollection without geometries; export the shapes again."
        )
    inner = [_feature({"geometry": each}, feature.where) for each in geometries]
    whole = [
        Feature(each.where, feature.properties, each.shape, each.coordinates, feature.is_cell)
        for each in inner
    ]
    return [part for each in whole for part in _parts(each, depth + 1)]


def polygons(feature: Feature) -> list[list[Points]]:
    """Rings (v, 2) of each polygon of a feature, the outer one first; none for other geometries.

    Raises
    ------
    OptionError
        A polygon that is none.
    """
    if feature.shape not in ("Polygon", "MultiPolygon"):
        return []
    found = [feature.coordinates] if feature.shape == "Polygon" else feature.coordinates
    if not isinstance(found, list) or not all(isinstance(rings, list) and rings for rings in found):
        raise OptionError(
            f"{feature.where}: expected the rings of a {feature.shape}; export the shapes again."
        )
    return [[_ring(ring, feature.where) for ring in rings] for rings in found]


def positions(coordinates: object, where: str) -> Points:
    """GeoJSON positions as (n, 2) points (y, x), pixel centres at integers.

    Raises
    ------
    OptionError
        They are no numbers, or no slide reaches so far.
    """
    try:
        xy = np.asarray(coordinates, np.float64)
    except (TypeError, ValueError, OverflowError):  # the latter from a number of hundreds of digits
        xy = np.zeros(0)
    if xy.ndim != 2 or xy.shape[1] not in (2, 3) or not (np.abs(xy) < FARTHEST_PX).all():
        raise OptionError(
            f"{where}: expected positions [x, y] of finite numbers below {FARTHEST_PX:g}, level-0 pixels; "
            "export the shapes again."
        )
    yx: Points = xy[:, [1, 0]] - CORNER_PX
    return yx


def read_text(path: Path) -> str:
    """Text of a file, gzipped if its name ends in ``.gz``.

    Raises
    ------
    OptionError
        The file cannot be read or is not UTF-8.
    """
    try:
        content = read_bounded(path, MAX_BYTES)
        if path.name.endswith(".gz"):
            content = gunzip_bounded(content, MAX_BYTES)
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as err:
        if isinstance(err, UnicodeDecodeError):
            raise OptionError(f"{path} is not a text file in UTF-8 ({err}); save it as UTF-8.") from err
        raise OptionError(f"{path} cannot be read ({err}); check the file.") from err


def _feature(item: object, where: str) -> Feature:
    if isinstance(item, dict):
        given = item.get("properties")
        properties = given if isinstance(given, dict) else {}
        kind = properties.get("objectType", item.get("id"))  # the latter in QuPath before 0.3
        is_cell = isinstance(kind, str) and kind in _CELL_KINDS
        geometry = item.get("geometry") if "geometry" in item else item
        if geometry is None:  # a feature may be nowhere
            return Feature(where, properties, "", None, is_cell)
        if isinstance(geometry, dict) and isinstance(geometry.get("type"), str):
            at = geometry.get("geometries" if geometry["type"] == "GeometryCollection" else "coordinates")
            return Feature(where, properties, geometry["type"], at, is_cell)
    raise OptionError(f"{where} has no geometry; expected GeoJSON features or geometries, export them again.")


def _ring(coordinates: object, where: str) -> Points:
    yx = positions(coordinates, where)
    corners = yx[:-1] if len(yx) > 1 and (yx[0] == yx[-1]).all() else yx
    if len(corners) < 3:
        raise OptionError(
            f"{where}: a polygon has {len(corners)} corners, expected at least three; take it out."
        )
    return corners
