"""Cells that another program, or a person, found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_deepheme.cells import Cells
from napari_deepheme.errors import OptionError
from napari_deepheme.given.geojson import Feature, Points, polygons, positions, read_features
from napari_deepheme.given.tables import SCORES, read_rows


def read_cells(path: Path, mpp: tuple[float, float] | None) -> Cells:
    """Read cells that were found elsewhere.

    Parameters
    ----------
    path : Path
        GeoJSON (``.json`` or ``.geojson``), whose points and polygons are cells, or a table separated by
        commas, tabs or semicolons: our own ``cells.csv``, a points layer saved by napari, QuPath's
        measurements, columns ``x`` and ``y`` (level-0 pixels, pixel centres at integers), or boxes ``xmin``,
        ``ymin``, ``xmax``, ``ymax``; gzipped if it ends in ``.gz``.
    mpp : tuple of float or None
        µm per level-0 pixel, (y, x): for positions in µm, and for diameters.

    Returns
    -------
    Cells
        ``score`` is the file's ``detector_score`` or ``score``, else 1; ``diameter_um`` that of the disc with
        the area of the polygon or of the ellipse in the box, 0 where it is not known; ``region`` -1.

    Raises
    ------
    OptionError
        The file cannot be read, has no column or shape we know, a row that is not of numbers, a score
        outside 0 to 1, no cell, or positions in µm without ``mpp``.
    """
    drawn = path.name.removesuffix(".gz").endswith("json")
    yx, area_px, score = _drawn(path) if drawn else read_rows(path, mpp)
    if len(yx) == 0:
        raise OptionError(
            f"{path} holds no cell; expected at least one {'point or polygon' if drawn else 'row'}."
        )
    outside = np.flatnonzero(~((score >= 0) & (score <= 1)))
    if outside.size:
        raise OptionError(
            f"{path}: the score {score[outside[0]]:g} of cell {outside[0] + 1} is not within 0 to 1; "
            "rescale the scores, or leave them out."
        )
    diameter = np.sqrt(4 / np.pi * area_px * (np.prod(mpp) if mpp else 0.0))
    return Cells(yx, diameter.astype(np.float32), score.astype(np.float32), np.full(len(yx), -1, np.int32))


def _drawn(path: Path) -> tuple[Points, Points, Points]:
    """Centres (n, 2), areas in square pixels (n,) and scores (n,) of the points and polygons of a file."""
    features = read_features(path)
    # What QuPath detected, else whatever was drawn: a file may also hold the annotation round the cells.
    cells = [feature for feature in features if feature.is_cell] or features
    rows = [(*disc, _score(feature)) for feature in cells for disc in _discs(feature)]
    table = np.array(rows, np.float64).reshape(-1, 4)
    return table[:, :2], table[:, 2], table[:, 3]


def _discs(feature: Feature) -> Iterator[tuple[float, float, float]]:
    """Centre (y, x) and area of each cell of a feature; the parts of a MultiPolygon are one cell."""
    if feature.shape in ("Point", "MultiPoint"):
        points = [feature.coordinates] if feature.shape == "Point" else feature.coordinates
        for y, x in positions(points, feature.where):
            yield float(y), float(x), 0.0
    parts = [(*_centroid(ring), i > 0) for rings in polygons(feature) for i, ring in enumerate(rings)]
    if parts:
        y, x, area, is_hole = np.array(parts).T
        weight = np.where(is_hole, -area, area)
        total = float(weight.sum())
        if total <= 0:  # a polygon drawn as a line or a dot
            yield float(y[0]), float(x[0]), 0.0
        else:
            yield float(weight @ y / total), float(weight @ x / total), total


def _centroid(ring: Points) -> tuple[float, float, float]:
    """Centre (y, x) and area of a ring; the mean of its corners where it encloses nothing."""
    y, x = (ring - ring[0]).T
    cross = y * np.roll(x, -1) - x * np.roll(y, -1)
    twice = float(cross.sum())
    if twice == 0:
        middle = ring.mean(axis=0)
        return float(middle[0]), float(middle[1]), 0.0
    down, across = (float(((v + np.roll(v, -1)) * cross).sum()) / (3 * twice) for v in (y, x))
    return float(ring[0, 0]) + down, float(ring[0, 1]) + across, abs(twice) / 2


def _score(feature: Feature) -> float:
    """The score a feature gives itself, 1 without one, NaN if it is no number."""
    measured = feature.properties.get("measurements")
    known = {**(measured if isinstance(measured, dict) else {}), **feature.properties}
    score = next((known[name] for name in SCORES if name in known), 1.0)
    # as an int a number may have hundreds of digits
    return (
        float(score) if isinstance(score, float) or (isinstance(score, int) and abs(score) <= 1) else np.nan
    )
