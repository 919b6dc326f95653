"""Files of other programs, as they write them."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_deepheme.cells import Cells, Region
from napari_deepheme.errors import OptionError
from napari_deepheme.given import read_cells, read_regions

SQUARE = [[10, 20], [30, 20], [30, 60], [10, 60], [10, 20]]  # x from 10 to 30, y from 20 to 60
HOLES = [[[15, 25], [15, 35], [25, 35], [25, 25], [15, 25]], [[15, 45], [25, 45], [25, 55], [15, 45]]]


def feature(kind: str, coordinates: object, **properties: object) -> dict[str, object]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "id": "4c9f", "geometry": geometry, "properties": properties}


def regions(folder: Path, document: object) -> tuple[Region, ...]:
    path = folder / "regions.geojson"
    path.write_text(json.dumps(document), encoding="utf-8")
    return read_regions(path)


def cells(folder: Path, content: str, mpp: tuple[float, float] | None = None, name: str = "t.csv") -> Cells:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read_cells(path, mpp)


class TestRegions:
    @pytest.mark.parametrize(
        "document",
        [
            {"type": "FeatureCollection", "features": [feature("Polygon", [SQUARE])]},
            [feature("Polygon", [SQUARE])],
            feature("Polygon", [SQUARE]),
            {"type": "Polygon", "coordinates": [SQUARE]},
        ],
        ids=["collection", "list", "feature", "geometry"],
    )
    def test_a_polygon_however_it_is_wrapped_begins_at_the_corner_of_its_first_pixel(
        self, tmp_path, document
    ):
        (region,) = regions(tmp_path, document)
        assert region.bounds == (19.5, 9.5, 59.5, 29.5)
        assert (region.name, len(region.outline)) == ("region 1", 4)

    def test_names_come_from_the_name_else_the_class_and_are_told_apart(self, tmp_path):
        other = {"classification": {"name": "Marrow", "color": [1, 2, 3]}}
        found = regions(
            tmp_path,
            [
                feature("Polygon", [SQUARE], objectType="annotation", name="left", **other),
                feature("Polygon", [SQUARE], **other),
                feature("MultiPolygon", [[SQUARE], [SQUARE]], name="parts"),
                feature("Polygon", [SQUARE], name=None),
                feature("Polygon", [SQUARE]),
            ],
        )
        assert [r.name for r in found] == ["left", "Marrow", "parts 1", "parts 2", "region 1", "region 2"]

    def test_lines_points_and_detected_cells_are_no_regions(self, tmp_path):
        others = [
            feature("Point", [1, 2]),
            feature("LineString", [[1, 2], [3, 4]]),
            feature("Polygon", [SQUARE], objectType="detection"),
            {"type": "Feature", "geometry": None, "properties": {}},
        ]
        assert len(regions(tmp_path, [*others, feature("Polygon", [SQUARE])])) == 1
        with pytest.raises(OptionError, match=r"1 × Point.*1 × detected cell.*expected polygons"):
            regions(tmp_path, others)

    @given(st.floats(0, 40), st.floats(10, 70))
    def test_what_is_in_a_hole_is_not_in_the_region(self, tmp_path_factory, x: float, y: float):
        path = tmp_path_factory.getbasetemp() / "holes.json"
        if not path.exists():
            path.write_text(json.dumps(feature("Polygon", [SQUARE, *HOLES])))
        outer, *holes = (Region("ring", np.array(ring)[:-1, ::-1] - 0.5) for ring in (SQUARE, *HOLES))
        (region,) = read_regions(path)
        place = np.array([[y + 0.0123, x + 0.0321]])  # off the cuts, which belong to neither side
        inside = outer.contains(place) & ~holes[0].contains(place) & ~holes[1].contains(place)
        assert region.contains(place) == inside

    def test_a_compressed_file(self, tmp_path):
        path = tmp_path / "a.geojson.gz"
        path.write_bytes(gzip.compress(json.dumps(feature("Polygon", [SQUARE])).encode()))
        assert len(read_regions(path)) == 1

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("x,y\n1,2\n", "is not GeoJSON"),
            ("3", "is not GeoJSON"),
            ("{}", "feature 1 has no geometry"),
            ("[1]", "feature 1 has no geometry"),
            ('{"type": "FeatureCollection", "features": []}', "it is empty"),
            (json.dumps(feature("Polygon", [[[1, 2], [3, 4], [1, 2]]])), "2 corners"),
            (json.dumps(feature("Polygon", [[[1, 2], [float("nan"), 4], [5, 6]]])), "finite numbers"),
            (json.dumps(feature("Polygon", SQUARE)), "finite numbers"),
            (json.dumps(feature("Polygon", [["a", "b"]])), "finite numbers"),
            (json.dumps(feature("Polygon", [])), "rings"),
            (json.dumps(feature("MultiPolygon", None)), "rings"),
        ],
    )
    def test_anything_else_is_refused_in_a_sentence_that_names_the_file(self, tmp_path, content, said):
        path = tmp_path / "wrong.json"
        path.write_text(content)
        with pytest.raises(OptionError, match=said) as fault:
            read_regions(path)
        assert "wrong.json" in str(fault.value)
        assert "\n" not in str(fault.value)

    def test_files_that_cannot_be_read_are_refused(self, tmp_path):
        (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b"{}" * 900)[:-9])
        (tmp_path / "picture.json").write_bytes(b"\xff\xd8\xff\xe0")
        for name in ("cut.json.gz", "picture.json", "absent.json"):
            with pytest.raises(OptionError, match=name):
                read_regions(tmp_path / name)


class TestTables:
    @pytest.mark.parametrize(
        "content",
        [
            "cell_id,x_px,y_px,x_um,y_um,class\n1,8,3,2,0.75,M6\n2,9.5,4,2.4,1,L2\n",
            "index,axis-0,axis-1\n0.0,3,8\n1.0,4,9.5\n",
            "index,axis-0,axis-1,axis-2\n0.0,17,3,8\n1.0,17,4,9.5\n",
            "X;Y\n8;3\n9.5;4\n",
            "\ufeffx, y\r\n8, 3\r\n\r\n9.5, 4\r\n",
            "label,centroid_x,centroid_y\n1,8,3\n2,9.5,4\n",
            "Image\tCentroid X px\tCentroid Y px\na.svs\t8.5\t3.5\na.svs\t10\t4.5\n",
            "Image\tCentroid X µm\tCentroid Y µm\na.svs\t2.125\t1.75\na.svs\t2.5\t2.25\n",
            "Image\tCentroid X μm\tCentroid Y um\na.svs\t2.125\t1.75\na.svs\t2.5\t2.25\n",
        ],
        ids=["ours", "napari", "napari-3d", "upper", "blanks", "centroid", "qupath-px", "qupath", "greek-mu"],
    )
    def test_the_same_two_cells_as_each_program_writes_them(self, tmp_path, content):
        found = cells(tmp_path, content, mpp=(0.5, 0.25))
        np.testing.assert_allclose(found.yx, [[3, 8], [4, 9.5]])
        assert found.score.tolist() == [1, 1]
        assert found.diameter_um.tolist() == [0, 0]
        assert found.region.tolist() == [-1, -1]

    def test_a_cell_dragged_in_napari_is_where_it_was_dragged_to(self, tmp_path):
        found = cells(tmp_path, "index,axis-0,axis-1,cell_id,x_px,y_px\n0,30,80,1,8,3\n")
        assert found.yx.tolist() == [[30, 80]]

    def test_boxes_give_their_middle_and_a_size_where_the_scale_is_known(self, tmp_path):
        content = "image,xmin,ymin,xmax,ymax,score\na,10,20,50,60,0.25\n"
        found = cells(tmp_path, content, mpp=(0.25, 0.25))
        assert (found.yx.tolist(), found.score.tolist()) == ([[40, 30]], [0.25])
        np.testing.assert_allclose(found.diameter_um, 10)
        assert cells(tmp_path, content).diameter_um.tolist() == [0]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "cannot be read as a table"),
            ("x,y\n", "no cell"),
            ("a,b\n1,2\n", "no columns of positions.*x_px and y_px.*axis-0.*xmin"),
            ("x,y\n1,2\n\n3,four\n", "'four' in row 4, column y"),
            ("x,y\n1,\n", "'' in row 2, column y"),
            ("x,y\n1,inf\n", "'inf' in row 2"),
            ("x,y,score\n1,2,high\n", "'high' in row 2, column score"),
            ("x,y,score\n1,2,0.5\n1,2,87\n", "score 87 of cell 2"),
            ("x,y\n1,2\n3,4,5\n", "cannot be read as a table"),
            ("Centroid X µm,Centroid Y µm\n1,2\n", "--mpp"),
            ("index,shape-type,vertex-index,axis-0,axis-1\n0,polygon,0,1,2\n", "corners of napari shapes"),
        ],
    )
    def test_anything_else_is_refused_in_a_sentence_that_says_where(self, tmp_path, content, said):
        with pytest.raises(OptionError, match=said) as fault:
            cells(tmp_path, content)
        assert "t.csv" in str(fault.value)
        assert "\n" not in str(fault.value)


class TestDrawnCells:
    def read(self, folder: Path, *features: dict[str, object]) -> Cells:
        document = {"type": "FeatureCollection", "features": features}
        return cells(folder, json.dumps(document), mpp=(0.5, 0.25), name="c.geojson")

    def test_points_and_outlines(self, tmp_path):
        nucleus = {"nucleusGeometry": {"type": "Polygon", "coordinates": [SQUARE]}}
        found = self.read(
            tmp_path,
            feature("Point", [8.5, 3.5], detector_score=0.5),
            feature("MultiPoint", [[1.5, 2.5], [3.5, 4.5]]),
            feature("Polygon", [SQUARE], measurements={"score": 0.75}) | nucleus,
        )
        np.testing.assert_allclose(found.yx, [[3, 8], [2, 1], [4, 3], [39.5, 19.5]])
        np.testing.assert_allclose(found.score, [0.5, 1, 1, 0.75])
        np.testing.assert_allclose(found.diameter_um, [0, 0, 0, np.sqrt(4 / np.pi * 10 * 10)], rtol=1e-6)

    def test_the_annotation_round_detected_cells_is_no_cell(self, tmp_path):
        found = self.read(
            tmp_path,
            feature("Polygon", [SQUARE], objectType="annotation"),
            feature("Polygon", [SQUARE], objectType="cell"),
            feature("Polygon", [SQUARE]) | {"id": "PathDetectionObject"},
        )
        assert len(found) == 2

    def test_a_ring_of_a_cell_has_its_middle_in_the_hole(self, tmp_path):
        hole = [[15, 30], [15, 50], [25, 50], [25, 30], [15, 30]]
        found = self.read(tmp_path, feature("Polygon", [SQUARE, hole]))
        np.testing.assert_allclose(found.yx, [[39.5, 19.5]])
        np.testing.assert_allclose(found.diameter_um, np.sqrt(4 / np.pi * (800 - 200) / 8), rtol=1e-6)

    def test_the_parts_of_one_cell_are_one_cell(self, tmp_path):
        shifted = [[x + 100, y] for x, y in SQUARE]
        found = self.read(tmp_path, feature("MultiPolygon", [[SQUARE], [shifted]]))
        np.testing.assert_allclose(found.yx, [[39.5, 69.5]])

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
    @given(st.floats(1, 50), st.floats(0, 1e5), st.floats(0, 1e5), st.booleans())
    def test_a_round_outline_gives_its_centre_and_diameter_wherever_it_lies(
        self, tmp_path, radius, x, y, turned
    ):
        angle = np.linspace(0, 2 * np.pi, 90)[:: -1 if turned else 1]
        ring = np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)]).tolist()
        found = self.read(tmp_path, feature("Polygon", [ring]))
        np.testing.assert_allclose(found.yx, [[y - 0.5, x - 0.5]], atol=1e-4 * radius)
        np.testing.assert_allclose(found.diameter_um, 2 * radius * np.sqrt(0.125), rtol=0.01)

    def test_an_outline_that_encloses_nothing_is_still_a_place(self, tmp_path):
        found = self.read(tmp_path, feature("Polygon", [[[1, 1], [3, 1], [5, 1], [1, 1]]]))
        np.testing.assert_allclose(found.yx, [[0.5, 2.5]])
        assert found.diameter_um.tolist() == [0]

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (feature("LineString", [[1, 2], [3, 4]]), "no cell"),
            (feature("Point", [1]), "feature 1: expected positions"),
            (feature("Point", [1, 2], score="high"), "score nan"),
        ],
    )
    def test_anything_else_is_refused(self, tmp_path, wrong, said):
        with pytest.raises(OptionError, match=said):
            self.read(tmp_path, wrong)
