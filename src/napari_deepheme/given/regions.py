"""Regions that someone drew in QuPath or elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from napari_deepheme.cells import Region
from napari_deepheme.errors import OptionError
from napari_deepheme.given.geojson import Feature, Points, polygons, read_features


def read_regions(path: Path) -> tuple[Region, ...]:
    """Read the polygons of a GeoJSON file, of QuPath or any other program.

    Parameters
    ----------
    path : Path
        A feature collection, a list of features, a feature or a bare geometry; gzipped if it ends in ``.gz``.

    Returns
    -------
    tuple of Region
        One per polygon, each part of a MultiPolygon by itself, in the order of the file; holes are cut out.
        They bear the features' names (or classes), with a number where several bear the same, and
        "region 1" and so on without one. Points, lines, and cells that QuPath detected are left out.

    Raises
    ------
    OptionError
        The file cannot be read, is no GeoJSON, has a polygon that is none, or has no polygon.
    """
    features = read_features(path)
    drawn = [feature for feature in features if not feature.is_cell]
    found = [(_name(feature), rings) for feature in drawn for rings in polygons(feature)]
    if not found:
        raise OptionError(
            f"{path} holds no region ({_contents(features)}); expected polygons, such as QuPath's "
            "annotations exported as GeoJSON."
        )
    names = _numbered([name for name, _ in found])
    return tuple(Region(name, _keyhole(rings)) for name, (_, rings) in zip(names, found, strict=True))


def _keyhole(rings: list[Points]) -> Points:
    """One outline for a polygon with holes: a cut leads to each, walked both ways."""
    outline = rings[0]
    for hole in rings[1:]:
        distance, nearest = cKDTree(outline).query(hole)
        begin = int(np.argmin(distance))
        at = int(nearest[begin])
        around = np.roll(hole, -begin, axis=0)
        outline = np.concatenate([outline[: at + 1], around, around[:1], outline[at:]])
    return outline


def _name(feature: Feature) -> str:
    kind = feature.properties.get("classification")
    name = feature.properties.get("name") or (kind.get("name") if isinstance(kind, dict) else None)
    return name.strip() if isinstance(name, str) else ""


def _numbered(names: list[str]) -> list[str]:
    """Names told apart by numbers where several are the same; "region 1" and so on for those without."""
    times, seen = Counter(names), Counter[str]()
    result = []
    for name in names:
        seen[name] += 1
        result.append(f"{name or 'region'} {seen[name]}" if times[name] > 1 or not name else name)
    return result


def _contents(features: list[Feature]) -> str:
    counts = Counter("detected cell" if f.is_cell else f.shape or "no geometry" for f in features)
    return ", ".join(f"{count} × {shape}" for shape, count in counts.items()) or "it is empty"
