"""Regions that could only give an empty count, or end in a traceback, are refused in a sentence."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from napari_deepheme.errors import OptionError
from napari_deepheme.given import check_on_slide, read_cells, read_regions

SQUARE = {"type": "Polygon", "coordinates": [[[100, 100], [300, 100], [300, 300], [100, 300], [100, 100]]]}


def written(tmp_path, geometry, **properties):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "Feature", "properties": properties, "geometry": geometry}))
    return path


def moved(by: float, scale: float = 1.0):
    ring = [[x * scale + by, y * scale + by] for x, y in SQUARE["coordinates"][0]]
    return {"type": "Polygon", "coordinates": [ring]}


def test_a_region_off_the_slide_is_refused(tmp_path):
    for by in (-1000, 5000):
        path = written(tmp_path, moved(by))
        with pytest.raises(OptionError, match=r"region 1 lies off the slide .*the slide has 800 × 700 px"):
            check_on_slide(read_regions(path), (700, 800), path)
    path = written(tmp_path, moved(500))
    check_on_slide(read_regions(path), (700, 800), path)


def test_latitude_and_longitude_are_refused(tmp_path):
    path = written(tmp_path, moved(0, scale=0.01))
    with pytest.raises(OptionError, match="not µm or degrees"):
        check_on_slide(read_regions(path), (700, 800), path)
    document = {"type": "FeatureCollection", "crs": {"type": "name"}, "features": [{"geometry": SQUARE}]}
    path.write_text(json.dumps(document))
    with pytest.raises(OptionError, match="of a map"):
        read_regions(path)


def test_corners_on_a_line_enclose_nothing(tmp_path):
    line = {"type": "Polygon", "coordinates": [[[0, 0], [100, 100], [200, 200], [0, 0]]]}
    with pytest.raises(OptionError, match="encloses nothing"):
        read_regions(written(tmp_path, line))


def test_what_is_in_a_collection_counts_too(tmp_path):
    both = {
        "type": "GeometryCollection",
        "geometries": [SQUARE, {"type": "GeometryCollection", "geometries": [moved(400)]}],
    }
    assert len(read_regions(written(tmp_path, both, name="ring"))) == 2
    for wrong in (None, 5, [5]):
        with pytest.raises(OptionError):
            read_regions(written(tmp_path, {"type": "GeometryCollection", "geometries": wrong}))


def test_numbers_of_hundreds_of_digits_are_one_sentence(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"geometry": SQUARE}).replace("300", "3" * 400))
    with pytest.raises(OptionError, match="finite numbers"):
        read_regions(path)
    point = {"geometry": {"type": "Point", "coordinates": [5, 5]}, "properties": {"score": 10**400}}
    path.write_text(json.dumps(point))
    with pytest.raises(OptionError, match="score"):
        read_cells(path, None)


def test_names_can_be_shown_and_written(tmp_path):
    path = written(tmp_path, SQUARE, name="a\ud800\x1b[31m\nb" + "c" * 1000)
    name = read_regions(path)[0].name
    assert name.startswith("a\ufffd\ufffd[31m b")
    assert len(name) <= 200
    name.encode("utf-8")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_deepheme.given.geojson.MAX_BYTES", 10**6)
    (tmp_path / "a.geojson.gz").write_bytes(gzip.compress(b" " * 10**7))
    with pytest.raises(OptionError, match="unpacks to more than"):
        read_regions(tmp_path / "a.geojson.gz")


def test_a_kind_that_is_no_text_makes_no_cell(tmp_path):
    for kind in (["detection"], {"detection": 1}, None, 5):
        assert len(read_regions(written(tmp_path, SQUARE, objectType=kind))) == 1


def test_positions_whose_squares_are_no_numbers_are_refused(tmp_path):
    path = written(tmp_path, moved(0, scale=1e290))
    for read in (read_regions, lambda path: read_cells(path, (0.25, 0.25))):
        with pytest.raises(OptionError, match="numbers below 1e\\+09"):
            read(path)
    table = tmp_path / "a.csv"
    table.write_text("x,y\n1,1e300\n")
    with pytest.raises(OptionError, match="row 2, column y, is not a number below"):
        read_cells(table, None)


RING = SQUARE["coordinates"][0]


@pytest.mark.parametrize(
    ("rings", "message"),
    [
        ([RING, RING], "holes fill it"),
        ([[[0, 0], [100, 100], [100, 0], [0, 100], [0, 0]]], "crosses itself"),
        ([RING, [[900, 900], [950, 900], [950, 950], [900, 900]]], "a hole lies outside its polygon"),
    ],
)
def test_a_polygon_that_holds_nothing_or_whose_hole_would_count_is_refused(tmp_path, rings, message):
    with pytest.raises(OptionError, match=message):
        read_regions(written(tmp_path, {"type": "Polygon", "coordinates": rings}))


def test_a_hole_that_touches_the_outline_is_a_hole(tmp_path):
    diamond = [[200, 100], [300, 200], [200, 300], [100, 200], [200, 100]]
    (region,) = read_regions(written(tmp_path, {"type": "Polygon", "coordinates": [RING, diamond]}))
    assert region.contains(np.array([[199.0, 199.0], [110.0, 110.0]])).tolist() == [False, True]


def test_no_two_regions_have_one_name(tmp_path):
    """Their fields would be counted as one."""
    named = ["region 1", None, "a", "a", "a 1"]
    features = [{"type": "Feature", "properties": {"name": n}, "geometry": SQUARE} for n in named]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert [each.name for each in read_regions(path)] == ["region 1", "region 2", "a 2", "a 3", "a 1"]
