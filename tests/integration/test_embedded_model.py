"""What ``pbc-11`` is trusted with; ``python -m benchmarks.transfer`` measures the same on more cells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_deepheme import Device, cli, load_bundle, open_slide
from napari_deepheme.classify.cascade import passes
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.classify.stain import StainMatching, stain_colours
from napari_deepheme.datasets.folders import read_crop
from napari_deepheme.export import read_cells_csv
from napari_deepheme.sample_data import SAMPLE_TRUTH
from napari_deepheme.stats.assessment import assess, calibrated
from napari_deepheme.train.recipe import read_recipe

COARSE = {
    "NEUTROPHIL": ("M5", "M6"),
    "EOSINOPHIL": ("E4",),
    "BASOPHIL": ("B2",),
    "LYMPHOCYTE": ("L2",),
    "MONOCYTE": ("MO2",),
}


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble(load_bundle("pbc-11"), Device.CPU)


def test_it_is_what_the_small_recipe_makes(ensemble):
    recipe = read_recipe("small")
    spec = load_bundle("pbc-11").spec
    assert spec.views == recipe.test_time_views == (1.1, 0.9)
    assert spec.architecture == recipe.architecture


def test_the_demo_finds_and_calls_the_cells_of_the_sample_slide(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["napari-deepheme", "demo", "--out", str(tmp_path), "--no-gui"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert "Research use only" in capsys.readouterr().out
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (2048, 2048)
    truth, cells = pd.read_csv(SAMPLE_TRUTH), read_cells_csv(tmp_path / "cells.csv")
    assert pd.read_csv(tmp_path / "differential.csv")["count"].sum() == len(cells)
    gaps = cells[["y_px", "x_px"]].to_numpy()[:, None] - truth[["y_px", "x_px"]].to_numpy()
    inside = (np.abs(gaps) <= truth[["height_px", "width_px"]].to_numpy() / 2).all(axis=2)
    assert len(cells) == pytest.approx(len(truth), rel=0.01)
    found = inside.any(axis=0)
    assert found.mean() >= 0.99
    nearest = np.abs(gaps).sum(axis=2).argmin(axis=0)
    assert (cells["label"].to_numpy()[nearest] == truth["deepheme_code"])[found].mean() >= 0.97


def test_cells_of_its_own_laboratory_are_called_and_by_a_cascade_the_same(ensemble, shared: Path):
    spec = load_bundle("pbc-11").spec
    folders = sorted((shared / "pbc" / "val").iterdir())
    files = [file for folder in folders for file in sorted(folder.glob("*.jpg"))[:40]]
    crops = np.stack([read_crop(file, 0.20, spec) for file in files])
    truth = [spec.taxonomy.resolve([file.parent.name])[0] for file in files]
    codes = np.array(spec.taxonomy.codes)
    calls = codes[assess(ensemble.run(crops), spec.calibration).call]
    assert np.mean(calls == truth) >= 0.88
    raw = ensemble.run(crops, settling=spec.settling())
    assert passes(raw) < 0.6
    settled = codes[assess(raw, spec.calibration).call]
    assert np.mean(settled == calls) >= 0.99


def test_half_of_the_views_show_a_slide_in_the_colours_of_home():
    spec = load_bundle("pbc-11").spec
    assert spec.stain is not None
    assert spec.match_stain is StainMatching.HALF
    assert len(spec.views) == 2


def test_cells_of_another_laboratory_are_called(ensemble, shared: Path):
    folder, spec = shared / "fields" / "bccd", load_bundle("pbc-11").spec
    boxes = pd.read_csv(folder / "boxes.csv").query("label == 'WBC'")
    area = (boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])
    largest = boxes.loc[area.groupby(boxes["image"]).idxmax()].set_index("image")
    crops, truth = [], []
    for row in pd.read_csv(folder / "classes.csv").itertuples():
        box = largest.loc[row.image]
        middle = (box["ymin"] + box["ymax"]) / 2, (box["xmin"] + box["xmax"]) / 2
        with open_slide(folder / row.image, mpp=0.07) as field:
            crops.append(field.read(middle, (spec.input_px, spec.input_px), spec.mpp))
        truth.append(row[2])
    codes = spec.taxonomy.codes
    groups = [[codes.index(code) for code in group] for group in COARSE.values()]
    wanted = [list(COARSE).index(name) for name in truth]
    pixels = np.stack(crops)
    found = calibrated(ensemble.run(pixels, stain_colours(pixels)), spec.calibration)
    coarse = np.stack([found[:, group].sum(axis=1) for group in groups], axis=1)
    coarse = np.column_stack([coarse, 1 - coarse.sum(axis=1)])  # the last: none of the five
    assert np.mean(coarse.argmax(axis=1) == wanted) >= 0.74  # 0.765
