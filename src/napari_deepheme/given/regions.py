"""Regions that someone drew in QuPath or elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import points_in_poly

from napari_deepheme.cells import Region
from napari_deepheme.errors import OptionError
from napari_deepheme.given.geojson import Feature, Points, polygons, read_features

_SMALLEST_PX = 10.0
_FLAT = 1e-9
_LONGEST_NAME = 200


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
        The file cannot be read, is no GeoJSON, has a polygon that is none or encloses nothing, or has no
        polygon.
    """
    features = read_features(path)
    drawn = [feature for feature in features if not feature.is_cell]
    found = [(_name(feature), _checked(rings, feature)) for feature in drawn for rings in polygons(feature)]
    if not found:
        raise OptionError(
            f"{path} holds no region ({_contents(features)}); expected polygons, such as QuPath's "
            "annotations exported as GeoJSON."
        )
    names = _numbered([name for name, _ in found])
    return tuple(Region(name, _keyhole(rings)) for name, (_, rings) in zip(names, found, strict=True))


def check_on_slide(regions: Sequence[Region], shape: tuple[int, int], path: Path) -> None:
    """Refuse regions in which no pixel of the slide lies: their count would be empty without a word.

    Parameters
    ----------
    regions : sequence of Region
    shape : tuple of int
        Rows and columns of the slide's level 0.
    path : Path
        Where the regions are from, for the message.

    Raises
    ------
    OptionError
        A region lies off the slide, or all are so small that their positions can be no pixels.
    """
    height, width = shape
    for region in regions:
        (top, left), (bottom, right) = region.outline.min(axis=0), region.outline.max(axis=0)
        if bottom < 0 or right < 0 or top > height - 1 or left > width - 1:
            raise OptionError(
                f"{path}: {region.name} lies off the slide (x {left:.6g} to {right:.6g}, "
                f"y {top:.6g} to {bottom:.6g}; "
                f"the slide has {width} × {height} px); export the shapes of this slide, in level-0 pixels."
            )
    sizes = [float(np.ptp(region.outline, axis=0).max()) for region in regions]
    if sizes and max(sizes) < _SMALLEST_PX:
        raise OptionError(
            f"{path}: its largest region is {max(sizes):.3g} px wide or high, smaller than a cell; expected "
            "level-0 pixels, not µm or degrees: export the shapes again."
        )


def _checked(rings: list[Points], feature: Feature) -> list[Points]:
    """Refuse a polygon that no cell is ever inside, and one whose hole would count as a part of it."""
    outline, *holes = rings
    span = float(np.ptp(outline, axis=0).max())
    if _twice_area(outline) - sum(map(_twice_area, holes)) <= _FLAT * span**2:
        raise OptionError(
            f"{feature.where}: a polygon encloses nothing: its corners lie on a line, it crosses itself, or "
            "holes fill it; take it out."
        )
    for hole in holes:
        if not points_in_poly(np.vstack([hole, hole.mean(axis=0)]), outline).any():
            raise OptionError(
                f"{feature.where}: a hole lies outside its polygon; draw it as a polygon of its own."
            )
    return rings


def _twice_area(ring: Points) -> float:
    y, x = (ring - ring[0]).T
    return abs(float((y * np.roll(x, -1) - x * np.roll(y, -1)).sum()))


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
    return printable(name) if isinstance(name, str) else ""


def printable(text: str) -> str:
    """The text of a file as it can be shown and written: halves of characters and control codes replaced."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))[:_LONGEST_NAME]


def _numbered(names: list[str]) -> list[str]:
    """Names told apart by numbers where several are the same; "region 1" and so on for those without."""
    times, last = Counter(names), Counter[str]()
    taken = {name for name in names if times[name] == 1}  # "region 1" may be what somebody calls one
    result = []
    for name in names:
        free = name
        while not name or times[name] > 1:
            last[name] += 1
            free = f"{name or 'region'} {last[name]}"
            if free not in taken:
                break
        taken.add(free)
        result.append(free)
    return result


def _contents(features: list[Feature]) -> str:
    counts = Counter("detected cell" if f.is_cell else f.shape or "no geometry" for f in features)
    return ", ".join(f"{count} × {shape}" for shape, count in counts.items()) or "it is empty"
