from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import center_of_mass, label
from scipy.spatial.distance import pdist, squareform

from napari_deepheme.datasets.fields import MarkedField
from napari_deepheme.train import scenes
from napari_deepheme.train.scenes import SCENE_PX, SceneMaker, Scenes

SIDE, MPP = 30, 0.5  # of a cell, px of the field: 12 µm; µm/px of the scenes
NONE = np.zeros((0, 4), np.float32)


def field(*, cells: int = 1, others: int = 0, boxed: bool = True, square: bool = False) -> MarkedField:
    """Very dark cells, and paler and smaller others, on white."""
    image = np.full((110, 130, 3), 240, np.uint8)
    y, x = np.mgrid[:110, :130]
    places = [(35, 40), (75, 90)][:cells]
    for cy, cx in places:
        away = np.maximum(abs(y - cy), abs(x - cx)) if square else np.hypot(y - cy, x - cx)
        image[away <= SIDE / 2] = 10
    small = [(90, 20), (20, 100)][:others]
    for cy, cx in small:
        image[np.hypot(y - cy, x - cx) <= 8] = (200, 160, 160)
    marked = np.array([(*place, SIDE, SIDE) for place in places], np.float32).reshape(-1, 4)
    beside = np.array([(*place, 17, 17) for place in small], np.float32).reshape(-1, 4)
    return MarkedField(Path("field.png"), image, (240.0, 240.0, 240.0), marked, beside, NONE, boxed)


@pytest.fixture
def plain(monkeypatch):
    """No other stain, focus or lamp: cells keep their darkness."""
    monkeypatch.setattr(scenes, "another_look", lambda images, _options, _generator: images)
    monkeypatch.setattr(scenes, "_particle", lambda _rng: np.zeros((3, SCENE_PX, SCENE_PX), np.float32))


def without_mosaics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SceneMaker, "_mosaic", lambda *_: None)


def make(*fields: MarkedField, n: int = 12, seed: int = 0) -> Scenes:
    return SceneMaker(fields, MPP).scenes(n, np.random.default_rng(seed))


def peaks_px(heat: np.ndarray) -> np.ndarray:
    """Centres (y, x) in scene px."""
    return np.argwhere(heat == 1) * 2 + 0.5


def light_at(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Mean light (c, h, w) over the four pixels of each pixel of the heatmap."""
    return (
        image.mean(axis=0)
        .reshape(SCENE_PX // 2, 2, -1, 2)
        .mean(axis=(1, 3))[tuple((places // 2).astype(int).T)]
    )


def test_the_same_generator_composes_the_same_scenes_and_another_others():
    fields = field(), field(others=2)
    first, again, other = make(*fields, n=4), make(*fields, n=4), make(*fields, n=4, seed=1)
    for name in ("images", "heat", "log_diameter", "counts"):
        np.testing.assert_array_equal(getattr(first, name).numpy(), getattr(again, name).numpy())
    assert not np.array_equal(first.images.numpy(), other.images.numpy())


def test_scenes_have_the_shapes_and_values_the_network_takes():
    made = make(field(cells=2, others=2), n=4)
    assert made.images.shape == (4, 3, SCENE_PX, SCENE_PX)
    assert 0 <= made.images.min() <= made.images.max() <= 1
    half = (4, SCENE_PX // 2, SCENE_PX // 2)
    assert made.heat.shape == made.log_diameter.shape == made.counts.shape == half
    assert 0 <= made.heat.min() <= made.heat.max() == 1


@pytest.mark.usefixtures("plain")
def test_every_centre_lies_on_a_cell():
    made = make(field(), field(cells=2, others=2), n=30)
    n = 0
    for image, heat in zip(made.images.numpy(), made.heat.numpy(), strict=True):
        places = peaks_px(heat)
        n += len(places)
        assert (light_at(image, places) < 0.6).all()
    assert n > 60


@pytest.mark.usefixtures("plain")
def test_the_centre_is_the_middle_of_the_cell_and_the_diameter_its_own():
    made = make(field(), n=120)
    offsets, sizes = [], []
    for image, heat, size, counts in zip(
        *(part.numpy() for part in (made.images, made.heat, made.log_diameter, made.counts)), strict=True
    ):
        places = peaks_px(heat)
        dark = image.mean(axis=0) < 0.6
        inner = len(places) == 1 and (abs(places - SCENE_PX / 2) < SCENE_PX / 2 - 22).all()
        if inner and counts.all() and label(dark)[1] == 1:
            offsets.append(places[0] - center_of_mass(dark))
            sizes.append(np.exp(size[heat == 1][0]) / (np.sqrt(4 / np.pi * dark.sum()) * MPP))
    assert len(offsets) >= 5
    assert np.abs(offsets).max() < 2
    assert np.abs(np.mean(offsets, axis=0)).max() < 1
    np.testing.assert_allclose(sizes, 1, atol=0.15)


def test_sizes_are_known_where_boxes_were_drawn_and_only_at_centres():
    made = make(field(cells=2), n=16)
    known = np.isfinite(made.log_diameter.numpy())
    np.testing.assert_array_equal(known, made.heat.numpy() == 1)
    um = np.exp(made.log_diameter.numpy()[known])
    assert um.min() > 12 * 0.6
    assert um.max() < 12 * 1.6


def test_points_teach_places_but_no_sizes():
    made = make(field(cells=2, boxed=False), n=16)
    assert (made.heat == 1).sum() > 10
    assert not np.isfinite(made.log_diameter.numpy()).any()


def test_composed_neighbours_touch_and_overlap_but_remain_two_cells(monkeypatch):
    without_mosaics(monkeypatch)
    made = make(field(), n=30)
    shares = []
    for heat, size in zip(made.heat.numpy(), made.log_diameter.numpy(), strict=True):
        places = peaks_px(heat)
        if len(places) > 1:
            radius = np.exp(size[heat == 1]) / MPP / 2
            sums = squareform(radius[:, None] + radius, checks=False)
            # both centres were rounded to pixels of the heatmap
            assert (pdist(places) >= scenes._NEAREST * sums - 2 * np.sqrt(2)).all()
            shares.append((pdist(places) / sums).min())
    assert min(shares) < 0.85


@pytest.mark.parametrize(
    "fields",
    [(field(),), (field(), field(cells=0)), (field(cells=0, others=2), field(others=2))],
    ids=["no others", "an empty field", "a field of others only"],
)
def test_fields_may_lack_others_or_cells(fields):
    assert (make(*fields).heat == 1).any()


def test_fields_without_a_cell_give_scenes_without_a_cell():
    made = make(field(cells=0), field(cells=0, others=2))
    assert made.heat.max() == 0
    assert made.counts.all()


def test_a_field_smaller_than_a_piece_and_a_cell_too_large_to_cut_out_are_no_obstacle():
    whole = field()
    small = replace(whole, image=whole.image[15:60, 20:65].copy(), cells=whole.cells - (15, 20, 0, 0))
    large = replace(whole, cells=np.array([[50, 60, 90, 90]], np.float32))
    assert (make(small, large).heat == 1).any()


@pytest.mark.usefixtures("plain")
def test_doubt_is_only_where_a_cell_was_cut(monkeypatch):
    monkeypatch.setattr(SceneMaker, "_crowd", lambda *_: None)
    made = make(field(cells=2, square=True), n=40)
    n = 0
    for image, heat, counts in zip(made.images.numpy(), made.heat.numpy(), made.counts.numpy(), strict=True):
        dark = image.mean(axis=0)[::2, ::2] < 0.7
        doubtful, parts = label(~counts)
        for i in range(1, parts + 1):
            n += 1
            assert dark[doubtful == i].mean() > 0.5
        whole, _ = label(dark & counts)
        for row, column in np.argwhere(heat == 1):
            assert whole[row, column] or not counts[row, column]
    assert n > 20


def test_composed_cells_leave_no_doubt(monkeypatch):
    without_mosaics(monkeypatch)
    assert make(field(others=2)).counts.all()


@pytest.mark.usefixtures("plain")
def test_what_is_unsure_may_be_found_or_left_but_cells_composed_over_it_count(monkeypatch):
    unsure = replace(field(), cells=NONE, unsure=field().cells)
    with monkeypatch.context() as alone:
        alone.setattr(SceneMaker, "_crowd", lambda *_: None)
        made = make(unsure, n=30)
    assert made.heat.max() == 0
    dark = made.images.mean(dim=1).numpy()[:, ::2, ::2] < 0.6
    assert dark.sum() > 500
    assert made.counts.numpy()[dark].mean() < 0.01  # seams between pieces are rounded
    over = make(unsure, field(), n=30)
    assert (over.heat == 1).sum() > 30
    monkeypatch.setattr(SceneMaker, "_piece", lambda *_: None)
    monkeypatch.setattr(
        SceneMaker, "_mosaic", lambda _self, scene, _rng: scene.counts.__setitem__(slice(None), False)
    )
    doubted = make(field(), n=30)
    centres = (doubted.heat == 1).numpy()
    assert (~doubted.counts).any()
    assert doubted.counts.numpy()[centres].all()


@pytest.mark.usefixtures("plain")
def test_red_cells_of_any_hue_lie_in_scenes(monkeypatch):
    without_mosaics(monkeypatch)
    monkeypatch.setattr(SceneMaker, "_crowd", lambda *_: None)
    density = -np.log(make(field(others=2), n=80).images.numpy().clip(1e-6))
    stained = [(scene, scene.sum(axis=0) > 0.8) for scene in density]
    hue = [np.log(scene[0][red].mean() / scene[1][red].mean()) for scene, red in stained if red.sum() > 50]
    assert len(hue) > 20
    assert np.std(hue) > 0.27  # 0.17 by the tint that every scatter has
