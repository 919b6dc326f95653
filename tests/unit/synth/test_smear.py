from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from napari_deepheme.errors import OptionError
from napari_deepheme.synth import SmearSpec, Stain, render_region, truth
from napari_deepheme.synth.smear import LEFT_SHIFT, PITCH_UM

SPEC = SmearSpec((700, 900), 24, seed=5)


def test_truth_is_the_same_every_time_and_follows_the_seed():
    pd.testing.assert_frame_equal(truth(SPEC), truth(SmearSpec((700, 900), 24, seed=5)))
    other = truth(SmearSpec((700, 900), 24, seed=6))
    assert not truth(SPEC)[["y_px", "x_px"]].equals(other[["y_px", "x_px"]])


def test_truth_has_the_documented_columns():
    table = truth(SPEC)
    assert list(table) == ["cell", "y_px", "x_px", "height_px", "width_px", "deepheme_code"]
    assert list(table["cell"]) == list(range(24))


@pytest.mark.parametrize("n_cells", [24, 5 * 10 * 2])
def test_boxes_stay_inside_the_picture_and_apart(n_cells):
    table = truth(SmearSpec((1000, 1000), n_cells, seed=2))
    centre = table[["y_px", "x_px"]].to_numpy()
    half = table[["height_px", "width_px"]].to_numpy() / 2
    assert (centre - half >= -0.5).all()
    assert (centre + half <= 999.5).all()
    assert cKDTree(centre * 0.25).query(centre * 0.25, k=2)[0][:, 1].min() > PITCH_UM - 1.0


def test_every_class_has_its_share():
    counts = truth(SmearSpec((4096, 4096), 400, seed=1))["deepheme_code"].value_counts()
    assert counts.sum() == 400
    assert set(counts.index) == {code for code, _ in LEFT_SHIFT}
    assert counts.min() >= 15
    assert counts["M6"] == 120


def test_asked_mix_is_honoured():
    spec = SmearSpec((700, 900), 9, mix=(("L2", 2), ("U1", 1)))
    assert truth(spec)["deepheme_code"].value_counts().to_dict() == {"L2": 6, "U1": 3}


def test_any_tiling_gives_the_same_pixels():
    whole = render_region(SPEC, 0, 0, *SPEC.shape)
    for top in range(0, 700, 230):
        for left in range(0, 900, 310):
            height, width = min(230, 700 - top), min(310, 900 - left)
            tile = render_region(SPEC, top, left, height, width)
            assert np.array_equal(tile, whole[top : top + height, left : left + width])


def test_downsampled_region_is_the_mean_of_blocks():
    full = render_region(SPEC, 40, 80, 128, 256).astype(float)
    small = render_region(SPEC, 40, 80, 128, 256, downsample=4)
    expected = full.reshape(32, 4, 64, 4, 3).mean(axis=(1, 3))
    assert small.shape == (32, 64, 3)
    assert np.abs(small - expected).max() <= 0.5


def test_each_box_holds_a_dark_nucleus_and_glass_is_light():
    spec = SmearSpec((700, 900), 24, seed=5, stain=Stain())
    image = render_region(spec, 0, 0, *spec.shape)[..., 1].astype(float)
    for cell in truth(spec).itertuples():
        half_y, half_x = cell.height_px // 2, cell.width_px // 2
        box = image[cell.y_px - half_y : cell.y_px + half_y, cell.x_px - half_x : cell.x_px + half_x]
        assert (box < 80).mean() > 0.15, cell
    assert np.percentile(image, 90) > 200


def test_smear_without_cells_has_red_cells_only():
    spec = SmearSpec((300, 300), 0, stain=Stain())
    image = render_region(spec, 0, 0, 300, 300)
    assert truth(spec).empty
    assert (image[..., 1] < 80).mean() < 0.01
    assert image[..., 1].std() > 15


def test_large_smear_has_an_edge_beyond_which_the_glass_is_bare():
    spec = SmearSpec((14000, 20000), 50, seed=3, stain=Stain())
    corner, middle = render_region(spec, 0, 0, 300, 300), render_region(spec, 7000, 8000, 300, 300)
    assert corner[..., 1].std() < 6 < middle[..., 1].std()
    assert truth(spec)["y_px"].between(500, 13500).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shape": (0, 10)}, "0 × 10 px cannot be rendered"),
        ({"n_cells": 1000}, "1000 cells do not fit 500 × 500 px"),
        ({"n_cells": -1}, "0 or more"),
        ({"mpp": 0.0}, "expected 0.05 to 2"),
        ({"mix": (("ZZ", 1.0),)}, "Class 'ZZ' cannot be rendered"),
        ({"mix": (("L2", 0.0),)}, "not all 0"),
    ],
)
def test_impossible_smears_are_refused_with_a_sentence(options, said):
    with pytest.raises(OptionError, match=said):
        SmearSpec(**{"shape": (500, 500), "n_cells": 1, **options})


def test_window_outside_the_smear_is_an_error():
    with pytest.raises(ValueError, match="not within"):
        render_region(SPEC, 600, 0, 200, 10)
