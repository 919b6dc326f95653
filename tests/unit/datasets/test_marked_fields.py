import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import center_of_mass

from napari_deepheme.datasets.fields import FIELD_MPP, POINT_UM, MarkedField, read_fields, read_marks
from napari_deepheme.errors import DeepHemeError, OptionError, ScaleError, SlideError, TableError
from napari_deepheme.jobs import drain

CENTRE, RADIUS, MPP = (40.0, 71.0), 12, 0.25  # of the disc that is drawn: px, px, µm/px


def draw(path: Path, centre: tuple[float, float] = CENTRE, shape: tuple[int, int] = (120, 161)) -> Path:
    """White with one dark disc."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full((*shape, 3), 240, np.uint8)
    image[np.hypot(y - centre[0], x - centre[1]) <= RADIUS] = (80, 40, 120)
    if path.suffix == ".tif":
        resolution = (1e4 / MPP, 1e4 / MPP)
        tifffile.imwrite(path, image, photometric="rgb", resolution=resolution, resolutionunit="CENTIMETER")
    else:
        Image.fromarray(image).save(path)
    return path


def table(folder: Path, *lines: str) -> Path:
    path = folder / "marks.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def fields_of(source: Path, mpp: float | None = None) -> list[MarkedField]:
    return drain(read_fields(read_marks(source, mpp)))


def dark_middle(field: MarkedField) -> tuple[float, float]:
    return center_of_mass(255.0 - field.image.mean(axis=2) - 15)


def box_around(centre: Sequence[float] = CENTRE, half: float = RADIUS) -> str:
    y, x = centre
    return f"{x - half},{y - half},{x + half},{y + half}"


@pytest.mark.parametrize("mpp", [0.1, 0.25, 0.37, 0.4, 0.7])
def test_a_mark_stays_on_its_cell_whatever_the_scale_of_the_image(tmp_path, mpp):
    draw(tmp_path / "a.png")
    (field,) = fields_of(table(tmp_path, "image,xmin,ymin,xmax,ymax", f"a.png,{box_around()}"), mpp)
    assert field.cells[0, :2] == pytest.approx(dark_middle(field), abs=0.5)
    assert field.cells[0, 2:] == pytest.approx(2 * RADIUS * mpp / FIELD_MPP, rel=1e-5)
    assert field.image.shape[:2] == (round(120 * mpp / FIELD_MPP), round(161 * mpp / FIELD_MPP))
    assert field.white == (240, 240, 240)
    assert field.boxed


def test_points_stand_for_cells_of_a_usual_size(tmp_path):
    draw(tmp_path / "a.png")
    (field,) = fields_of(table(tmp_path, "image,x,y", f"a.png,{CENTRE[1]},{CENTRE[0]}"), MPP)
    assert field.cells[0, :2] == pytest.approx(dark_middle(field), abs=0.5)
    assert field.cells[0, 2:].tolist() == [pytest.approx(POINT_UM / FIELD_MPP)] * 2
    assert not field.boxed


def test_what_has_no_nucleus_and_what_is_unsure_are_kept_apart_however_they_are_written(tmp_path):
    labels = ("WBC", "RBC", " Platelets", "M6", "", "Unsure")
    draw(tmp_path / "a.png")
    rows = [f"a.png,{10 * i},{5},{label}" for i, label in enumerate(labels)]
    (marks,) = read_marks(table(tmp_path, "image,x,y,label", *rows), MPP)
    assert marks.cells[:, 1].tolist() == [0, 30, 40]
    assert marks.others[:, 1].tolist() == [10, 20]
    assert marks.unsure[:, 1].tolist() == [50]
    (field,) = drain(read_fields([marks]))
    assert (field.cells.shape, field.others.shape, field.unsure.shape) == ((3, 4), (2, 4), (1, 4))


def test_each_image_has_its_own_scale_where_the_table_says_it(tmp_path):
    for name in ("a.png", "b.png", "c.tif", "d.png"):
        draw(tmp_path / name)
    at = f"{CENTRE[1]},{CENTRE[0]}"
    rows = [f"a.png,{at},0.2", f"b.png,{at},0.4", f"c.tif,{at},", f"d.png,{at},0.8"]
    shapes = [field.image.shape[:2] for field in fields_of(table(tmp_path, "image,x,y,mpp", *rows))]
    assert shapes == [(60, 80), (120, 161), (75, 101), (240, 322)]
    empty_one_taken_from_the_option = fields_of(tmp_path / "marks.csv", 0.4)[2]
    assert empty_one_taken_from_the_option.image.shape[:2] == (120, 161)


def test_an_image_that_says_its_scale_needs_no_other(tmp_path):
    draw(tmp_path / "a.tif")
    (field,) = fields_of(table(tmp_path, "image,xmin,ymin,xmax,ymax", f"a.tif,{box_around()}"))
    assert field.cells[0, :2] == pytest.approx(dark_middle(field), abs=0.5)


def test_a_folder_takes_what_napari_and_qupath_write_and_leaves_images_without_marks(tmp_path):
    for name in ("a.png", "b.png", "c.png", "unmarked.png"):
        draw(tmp_path / name)
    y, x = CENTRE
    (tmp_path / "a.csv").write_text(f"index,axis-0,axis-1\n0,{y},{x}\n1,100,20\n")
    ring = [[x + 0.5 + dx, y + 0.5 + dy] for dx, dy in ((-9, -9), (9, -9), (9, 9), (-9, 9), (-9, -9))]
    for name, geometry in (
        ("b", {"type": "Polygon", "coordinates": [ring]}),
        ("c", {"type": "Point", "coordinates": [x + 0.5, y + 0.5]}),
    ):
        feature = {"type": "Feature", "properties": {"objectType": "annotation"}, "geometry": geometry}
        collection = {"type": "FeatureCollection", "features": [feature]}
        (tmp_path / f"{name}.geojson").write_text(json.dumps(collection))
    points, polygon, point = fields_of(tmp_path, MPP)
    assert [field.path.name for field in (points, polygon, point)] == ["a.png", "b.png", "c.png"]
    for field in (points, polygon, point):
        assert field.cells[0, :2] == pytest.approx(dark_middle(field), abs=0.5)
    assert [len(field.cells) for field in (points, polygon, point)] == [2, 1, 1]
    assert [field.boxed for field in (points, polygon, point)] == [False, True, False]
    same_area = 18 * np.sqrt(4 / np.pi) * MPP / FIELD_MPP
    assert polygon.cells[0, 2:].tolist() == pytest.approx([same_area] * 2, rel=1e-4)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,xmin,ymin,xmax", "a.png,1,2,3"], "columns image, xmin, ymin, xmax; expected image and"),
        (["x,y", "1,2"], "columns x, y; expected image and"),
        (["image,x,y", "a.png,1,2", "a.png,,3"], "row 3 has no numbers in x, y"),
        (["image,x,y", "a.png,one,2"], "row 2 has no numbers in x, y"),
        (["image,x,y", "a.png,inf,2"], "row 2 has no numbers in x, y"),
        (["image,xmin,ymin,xmax,ymax", "a.png,9,2,5,8"], "box in row 2 is turned round; expected xmin below"),
        (["image,x,y,mpp", "a.png,1,2,fine"], "row 2 has no number in mpp"),
        (["image,x,y,label", "a.png,1,2,RBC"], "no nucleated cell is marked"),
        (["image,x,y"], "no nucleated cell is marked"),
        ([""], "cannot be read as a table"),
    ],
)
def test_a_table_that_does_not_serve_is_refused_with_where_and_what(tmp_path, lines, message):
    draw(tmp_path / "a.png")
    refused(TableError, message, table(tmp_path, *lines))


def test_a_box_without_area_is_a_point(tmp_path):
    draw(tmp_path / "a.png")
    path = table(tmp_path, "image,xmin,ymin,xmax,ymax", "a.png,5,8,5,8", "a.png,2,2,6,8")
    cells = read_marks(path, 0.4)[0].cells
    assert np.allclose(cells, [[8, 5, np.nan, np.nan], [5, 4, 6, 4]], equal_nan=True)


def test_sources_that_are_not_there_or_empty_are_refused(tmp_path):
    refused(TableError, "gone.csv cannot be read as a table", tmp_path / "gone.csv")
    draw(tmp_path / "a.png")
    refused(TableError, "no image with marks beside it; expected pairs", tmp_path)
    (tmp_path / "a.csv").write_text("axis-0,axis-1\n")
    refused(OptionError, "holds no cell", tmp_path)


def test_images_that_cannot_be_used_are_refused(tmp_path):
    refused(SlideError, "gone.png", table(tmp_path, "image,x,y", "gone.png,1,2"))
    draw(tmp_path / "a.png")
    refused(ScaleError, "µm/px is not known", table(tmp_path, "image,x,y", "a.png,1,2"), mpp=None)
    refused(ScaleError, "given by the user is 50", table(tmp_path, "image,x,y,mpp", "a.png,1,2,50"))
    draw(tmp_path / "large.png", shape=(600, 700))
    wide = table(tmp_path, "image,x,y", "large.png,1,2")
    refused(SlideError, "too large to be marked throughout", wide, mpp=4.9)


def refused(kind: type[DeepHemeError], message: str, source: Path, mpp: float | None = MPP) -> None:
    with pytest.raises(kind) as error:
        fields_of(source, mpp)
    assert message in str(error.value)
    assert "\n" not in str(error.value).strip()
