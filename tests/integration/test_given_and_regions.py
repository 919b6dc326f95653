"""Regions and cells from elsewhere, and the choice of fields, through the pipeline and the command line."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_deepheme import AnalysisOptions, analyse, cells_table, drain, load_bundle, open_slide, synth
from napari_deepheme.analysis.result import CellsReady
from napari_deepheme.cells import Cells, Region
from napari_deepheme.cli import main
from napari_deepheme.detect.choose import STAIN
from napari_deepheme.errors import OptionError

BY_STAIN = AnalysisOptions(target_cells=0, detector=STAIN)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.tif"
    truth = drain(synth.write_smear(path, synth.SmearSpec(shape=(2400, 2400), n_cells=120, seed=5, mpp=0.25)))
    return path, truth


def given(truth: pd.DataFrame) -> Cells:
    n = len(truth)
    yx = truth[["y_px", "x_px"]].to_numpy(np.float64)
    return Cells(yx, np.zeros(n, np.float32), np.ones(n, np.float32), np.full(n, -1, np.int32))


def test_given_cells_are_all_classified_where_they_are_whatever_the_target(film, toy_bundle):
    path, truth = film
    with open_slide(path) as slide:
        analysis = drain(analyse(slide, toy_bundle, AnalysisOptions(target_cells=10, cells=given(truth))))
    assert np.array_equal(analysis.cells.yx, truth[["y_px", "x_px"]].to_numpy())
    assert (analysis.cells.region == 0).all()
    assert analysis.facts.detector == ""
    assert analysis.facts.fields == ()


def test_given_cells_outside_the_slide_are_left_out_and_counted(film, toy_bundle):
    path, truth = film
    moved = truth.assign(x_px=truth["x_px"] + 1200)
    with open_slide(path) as slide:
        analysis = drain(analyse(slide, toy_bundle, AnalysisOptions(cells=given(moved))))
        left = int((moved["x_px"] > 2399.5).sum())
        assert len(analysis.cells) == 120 - left
        assert any(
            f"{left} of the 120 given cells lie outside the slide" in notice.text
            for notice in analysis.notices
        )
        nowhere = given(truth.assign(x_px=truth["x_px"] + 9000))
        with pytest.raises(OptionError, match="120 of the 120 given cells lie outside"):
            drain(analyse(slide, toy_bundle, AnalysisOptions(cells=nowhere)))


def test_with_a_target_the_fields_worth_counting_are_taken_until_it_is_reached(film):
    path, _ = film
    with open_slide(path) as slide:
        analysis = drain(analyse(slide, load_bundle(), replace(BY_STAIN, target_cells=25)))
    assert len(analysis.facts.fields) == 9
    taken = [region.name for region in analysis.regions]
    assert 2 <= len(taken) < 9
    assert set(taken) <= {field.region.name for field in analysis.facts.fields}
    table = cells_table(analysis)
    assert set(table["region"]) == set(taken)
    for region in analysis.regions:
        own = table["region"] == region.name
        assert region.contains(table.loc[own, ["y_px", "x_px"]].to_numpy()).all()


def test_without_a_target_all_of_the_slide_is_analysed(film, toy_bundle):
    path, truth = film
    with open_slide(path) as slide:
        analysis = drain(analyse(slide, toy_bundle, BY_STAIN))
    assert [region.name for region in analysis.regions] == ["slide"]
    assert len(analysis.cells) == pytest.approx(len(truth), abs=4)


def test_cells_where_fields_meet_are_counted_once(film, toy_bundle):
    path, _ = film
    with open_slide(path) as slide:
        *_, last = analyse_all(slide, toy_bundle, replace(BY_STAIN, target_cells=10**6))
        whole = drain(analyse(slide, toy_bundle, BY_STAIN))
        by_fields = drain(analyse(slide, toy_bundle, replace(BY_STAIN, target_cells=10**6)))
    assert len(by_fields.regions) == 9
    assert last.message.endswith("part 9 of 9")  # a field is one tile
    gap = np.hypot(*(whole.cells.yx[:, None] - by_fields.cells.yx[None]).transpose(2, 0, 1))
    assert (np.sum(gap < 5, axis=1) == 1).all()
    assert len(by_fields.cells) == len(whole.cells)
    for i, region in enumerate(by_fields.regions):
        assert region.contains(by_fields.cells.yx[by_fields.cells.region == i]).all()


def analyse_all(slide, bundle, options) -> list[CellsReady]:
    return [each for each in analyse(slide, bundle, options) if isinstance(each, CellsReady)]


def test_cells_on_the_border_of_two_fields_are_counted_once(tmp_path, toy_bundle):
    """Discs along every border between fields, one of which begins between two pixels."""
    side = 2 * 1023
    image = np.full((side, side, 3), 235, np.uint8)
    y, x = np.mgrid[:side, :side]
    centres = [(1023 + dy, 90 + 90 * k) for k, dy in enumerate(np.linspace(-4, 4, 20))]
    centres += [(col, row) for row, col in centres if abs(col - 1023) > 60]
    for row, column in centres:
        image[np.hypot(y - row, x - column) < 14] = (90, 40, 140)
    path = tmp_path / "borders.png"
    Image.fromarray(image).save(path)
    with open_slide(path, mpp=0.25) as slide:
        analysis = drain(analyse(slide, toy_bundle, replace(BY_STAIN, target_cells=10**6)))
    assert len(analysis.regions) == 4
    gap = np.hypot(*(np.array(centres)[:, None] - analysis.cells.yx[None]).transpose(2, 0, 1))
    assert (np.sum(gap < 10, axis=1) == 1).all()
    assert len(cells_table(analysis)) == len(centres)


def test_a_cell_belongs_to_a_region_if_its_centre_does(film, toy_bundle):
    path, _ = film
    with open_slide(path) as slide:
        whole = drain(analyse(slide, toy_bundle, BY_STAIN))
        y, x = whole.cells.yx[0]
        beside = Region.box("beside", y - 200, x + 3, y + 200, x + 400)
        around = Region.box("around", y - 200, x - 3, y + 200, x + 400)
        found = {
            region.name: drain(analyse(slide, toy_bundle, replace(BY_STAIN, regions=(region,)))).cells.yx
            for region in (beside, around)
        }
    assert np.abs(found["around"] - (y, x)).max(axis=1).min() < 3
    assert np.abs(found["beside"] - (y, x)).max(axis=1).min() > 5


def geojson(*boxes: tuple[str, float, float, float, float]) -> str:
    features = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]],
            },
        }
        for name, x0, y0, x1, y1 in boxes
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["napari-deepheme", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_classify_takes_regions_of_a_geojson(film, toy_bundle_folder, tmp_path, monkeypatch, capsys):
    path, truth = film
    roi = tmp_path / "roi.geojson"
    roi.write_text(geojson(("left", 0, 0, 1200, 2400), ("top", 0, 0, 2400, 600)))
    arguments = ("classify", path, "--out", tmp_path, "--model", toy_bundle_folder, "--detector", "stain")
    assert run(monkeypatch, *arguments, "--roi", roi, "--target-cells", 0, "--json") == 0
    report = json.loads(capsys.readouterr().out)["slides"][0]
    assert report["regions"] == ["left", "top"]
    assert report["detector"] == "stain"
    cells = pd.read_csv(tmp_path / "film.cells.csv")
    left = cells["x_px"] < 1199.5
    assert (cells.loc[left, "region"] == "left").all()
    assert (cells.loc[~left, "region"] == "top").all()
    assert (cells.loc[~left, "y_px"] < 599.5).all()
    inside = ((truth["x_px"] < 1199.5) | (truth["y_px"] < 599.5)).sum()
    assert len(cells) == pytest.approx(inside, abs=3)


def test_classify_takes_cells_of_a_table_and_its_own_tables_back(
    film, toy_bundle_folder, tmp_path, monkeypatch, capsys
):
    path, truth = film
    table = tmp_path / "cells.csv"
    truth[["x_px", "y_px"]].to_csv(table, index=False)
    arguments = ("classify", path, "--model", toy_bundle_folder, "--json")
    assert run(monkeypatch, *arguments, "--out", tmp_path / "a", "--cells", table) == 0
    first = pd.read_csv(tmp_path / "a" / "film.cells.csv")
    assert np.allclose(first[["x_px", "y_px"]], truth[["x_px", "y_px"]], atol=0.01)
    again = tmp_path / "a" / "film.cells.csv"
    assert run(monkeypatch, *arguments, "--out", tmp_path / "b", "--cells", again) == 0
    second = pd.read_csv(tmp_path / "b" / "film.cells.csv")
    pd.testing.assert_series_equal(first["class"], second["class"])


@pytest.mark.parametrize(
    "extra",
    [("--roi", "missing.geojson"), ("--cells", "missing.csv"), ("--detector", "no-such-detector")],
)
def test_bad_sources_are_one_line(film, toy_bundle_folder, tmp_path, monkeypatch, capsys, extra):
    arguments = ("classify", film[0], "--out", tmp_path, "--model", toy_bundle_folder)
    assert run(monkeypatch, *arguments, *extra) == 2
    error = capsys.readouterr().err
    assert extra[1] in error
    assert "Traceback" not in error


def test_regions_belong_to_one_slide(film, toy_bundle_folder, tmp_path, monkeypatch, capsys):
    other = tmp_path / "other.tif"
    other.write_bytes(film[0].read_bytes())
    roi = tmp_path / "roi.geojson"
    roi.write_text(geojson(("left", 0, 0, 1200, 2400)))
    arguments = ("classify", film[0], other, "--out", tmp_path, "--model", toy_bundle_folder)
    assert run(monkeypatch, *arguments, "--roi", roi) == 2
    assert "belongs to one slide" in capsys.readouterr().err
