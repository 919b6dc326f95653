"""Which fields of a slide can be counted, on small painted slides."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from napari_deepheme import open_slide
from napari_deepheme.cells import Region
from napari_deepheme.errors import ScaleError
from napari_deepheme.fields import Field, FieldKind, judge_fields, ranked, seen
from napari_deepheme.fields import judge as judging
from napari_deepheme.jobs import Progress, drain
from napari_deepheme.synth import SmearSpec, render_region

MPP, FIELD_PX = 0.5, 512
SHAPE, CELLS = (2 * FIELD_PX, 3 * FIELD_PX), 150


def rendered(n_cells, seed, shape=SHAPE):
    return render_region(SmearSpec(shape, n_cells, seed=seed, mpp=MPP), 0, 0, *shape)


@pytest.fixture(scope="module")
def smear():
    return rendered(CELLS, 3)


@pytest.fixture
def judge(tmp_path):
    def run(pixels, mpp=MPP):
        path = tmp_path / "slide.png"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
        with open_slide(path, mpp=mpp) as slide:
            return drain(judge_fields(slide))

    return run


def kinds(fields):
    return {field.kind for field in fields}


def blurred(pixels, um):
    return gaussian_filter(pixels.astype(float), (um / MPP, um / MPP, 0))


def fluorescence():
    rng = np.random.default_rng(0)
    pixels = np.zeros((600, 600, 3))
    for y, x in rng.integers(20, 580, (80, 2)):
        pixels[y - 8 : y + 8, x - 8 : x + 8] = (40, 60, 250)
    return blurred(pixels, 1.5) + rng.normal(10, 3, pixels.shape)


def test_every_point_of_the_slide_lies_in_one_field(judge):
    fields = judge(np.full((700, 1100, 3), 255))
    assert [field.region.name for field in fields] == [f"field {i}" for i in range(1, 7)]
    bounds = np.array([field.region.bounds for field in fields])
    assert bounds.reshape(2, 3, 4)[:, 0, 0].tolist() == [-0.5, 349.5]
    assert bounds[:2, 3].tolist() == bounds[1:3, 1].tolist()  # shared edges
    assert (bounds[-1, 2:] == (699.5, 1099.5)).all()
    assert np.prod(bounds[:, 2:] - bounds[:, :2], axis=1).sum() == pytest.approx(700 * 1100)
    assert (bounds[:, 2:] - bounds[:, :2]).max() <= FIELD_PX


def test_a_field_of_view_is_one_field(judge, smear):
    (field,) = judge(smear[:300, :400])
    assert field.region.bounds == (-0.5, -0.5, 299.5, 399.5)
    assert field.kind is FieldKind.GOOD


def test_a_smear_is_good_and_its_cells_are_expected(judge, smear):
    fields = judge(smear)
    assert kinds(fields) == {FieldKind.GOOD}
    assert sum(field.cells for field in fields) == pytest.approx(CELLS, rel=0.15)
    assert all(0 < field.score <= 1 and "sharp, about" in field.reason for field in fields)


def test_a_coloured_ground_is_no_reason_to_refuse(judge, smear):
    plasma = 0.75 * smear + 0.25 * np.array([200, 190, 225])
    assert kinds(judge(plasma)) == {FieldKind.GOOD}


@pytest.mark.parametrize("seed", [5, 6])  # lilac and peach red cells
def test_red_cells_alone_are_not_counted(judge, seed):
    fields = judge(rendered(0, seed))
    assert kinds(fields) == {FieldKind.RED_CELLS}
    assert sum(field.cells for field in fields) == 0


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.full((600, 600, 3), 255), FieldKind.GLASS),
        (np.full((600, 600, 3), (228, 230, 226)), FieldKind.GLASS),
        (np.zeros((600, 600, 3)), FieldKind.FOREIGN),
        (fluorescence(), FieldKind.FOREIGN),
    ],
    ids=["white", "greyish glass", "black", "fluorescence"],
)
def test_nothing_to_count(judge, pixels, kind):
    fields = judge(pixels)
    assert kinds(fields) == {kind}
    assert all(field.score == 0 and field.cells == 0 for field in fields)


def test_a_photograph_without_colour_is_no_stained_smear(judge, smear):
    assert kinds(judge(smear.mean(axis=-1, keepdims=True).repeat(3, axis=-1))) == {FieldKind.FOREIGN}


@pytest.mark.parametrize("colour", [(70, 30, 60), (150, 60, 40)], ids=["purple", "red"])
def test_a_clot_is_left_and_the_rest_counted(judge, smear, colour):
    clot = smear.copy()
    clot[:, 2 * FIELD_PX - 100 :] = colour
    found = [field.kind for field in judge(clot)]
    assert found == [FieldKind.GOOD, FieldKind.GOOD, FieldKind.PARTICLE] * 2


def test_layers_of_red_cells_are_too_thick(judge, smear):
    thick = smear.copy()
    thick[FIELD_PX:] = 0.5 * rendered(0, 3)[FIELD_PX:] * (1.9, 0.9, 0.7)
    found = [field.kind for field in judge(thick)]
    assert found == [FieldKind.GOOD] * 3 + [FieldKind.THICK] * 3


def test_blurred_fields_are_told_from_sharp_ones(judge, smear):
    mixed = smear.copy()
    mixed[:, :FIELD_PX] = blurred(smear, 2.0)[:, :FIELD_PX]
    found = [field.kind for field in judge(mixed)]
    assert found == [FieldKind.BLURRED, FieldKind.GOOD, FieldKind.GOOD] * 2


def test_a_slide_blurred_all_over_has_no_good_field(judge, smear):
    assert kinds(judge(blurred(smear, 2.0))) == {FieldKind.BLURRED}


def test_a_slight_blur_costs_a_place_but_not_the_field(judge, smear):
    mixed = smear.copy()
    mixed[:FIELD_PX] = blurred(smear, 0.4)[:FIELD_PX]
    fields = judge(mixed)
    assert kinds(fields) == {FieldKind.GOOD}
    assert all("a little blurred" in field.reason for field in fields[:3])
    assert max(field.score for field in fields[:3]) < min(field.score for field in fields[3:])


def test_hardly_stained_nuclei_are_pale(judge, smear):
    assert kinds(judge(255 - 0.35 * (255 - smear.astype(float)))) == {FieldKind.PALE}


def test_more_cells_score_higher(judge):
    few, many = (
        np.mean([field.score for field in judge(rendered(n, 7, (FIELD_PX, 2 * FIELD_PX)))]) for n in (6, 80)
    )
    assert 0 < few < many / 2


def test_black_borders_do_not_change_the_smear(judge, smear):
    framed = np.zeros((4 * FIELD_PX, 5 * FIELD_PX, 3))
    framed[FIELD_PX : 3 * FIELD_PX, FIELD_PX : 4 * FIELD_PX] = smear
    found = np.array([field.kind for field in judge(framed)]).reshape(4, 5)
    assert (found[1:3, 1:4] == FieldKind.GOOD).all()
    assert (found == FieldKind.FOREIGN).sum() == 14


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (1, 900)])
def test_a_picture_of_a_few_pixels_is_judged(judge, smear, shape):
    assert all(field.score == 0 for field in judge(smear[: shape[0], : shape[1]]))


def test_fields_not_looked_at_say_so_and_wait(judge, smear, monkeypatch):
    monkeypatch.setattr(judging, "_MOST_LOOKS", 2)
    fields = judge(smear)
    left = [field for field in fields if field.score == 0]
    assert len(left) == 4
    assert all("not looked at closely" in field.reason for field in left)
    first, second = ranked(fields)
    assert abs(first.region.bounds[1] - second.region.bounds[1]) > FIELD_PX  # from both ends
    assert "2 can be counted; 4 are likely good but not looked at" in seen(fields)


def test_unknown_scale_is_asked_for(judge, smear):
    with pytest.raises(ScaleError, match="µm/px is not known"):
        judge(smear[:100, :100], mpp=None)


def test_the_search_reports_progress_and_can_be_stopped(tmp_path, smear):
    path = tmp_path / "slide.png"
    Image.fromarray(smear).save(path)
    with open_slide(path, mpp=MPP) as slide:
        job = judge_fields(slide)
        progress = [next(job) for _ in range(3)]
        job.close()
    assert progress[0] == Progress("Looking over the slide", 1, 1)
    assert progress[2] == Progress("Looking at fields", 2, 6)
    assert not [each for each in threading.enumerate() if each.name.startswith("deepheme-read")]


@pytest.mark.parametrize(("folder", "mpp"), [("bccd", 0.07), ("segpc_eval_only", 0.2)])
def test_real_fields_of_view_can_be_counted(shared: Path, folder, mpp):
    for path in sorted((shared / "fields" / folder).glob("*.jpg"))[::40][:4]:
        with open_slide(path, mpp=mpp) as slide:
            (field,) = drain(judge_fields(slide))
        assert field.kind is FieldKind.GOOD, path.name


def made(row, column, kind=FieldKind.GOOD, score=0.5):
    region = Region.box(f"{row} {column}", row * 10, column * 10, row * 10 + 10, column * 10 + 10)
    return Field(region, kind, score if kind is FieldKind.GOOD else 0.0, "", 1.0)


def test_the_best_field_comes_first_and_the_next_from_elsewhere():
    fields = [made(row, column, score=0.6 if row < 2 else 0.5) for row in range(10) for column in range(10)]
    fields[11] = made(1, 1, score=0.9)
    order = ranked(fields)
    assert len(order) == len(fields) == len({id(field) for field in order})
    assert order[0] is fields[11]
    first = np.array([field.region.bounds[:2] for field in order[:4]])
    gaps = np.hypot(*(first[:, None] - first).transpose(2, 0, 1))[~np.eye(4, dtype=bool)]
    assert gaps.min() > 30


def test_a_much_better_neighbour_beats_a_poor_field_far_away():
    poor, best, good = made(0, 9, score=0.05), made(0, 0, score=0.9), made(0, 2, score=0.85)
    assert ranked([poor, best, good]) == [best, good, poor]


def test_only_good_fields_are_ranked():
    fields = [made(0, 0, FieldKind.GLASS), made(0, 1), made(0, 2, FieldKind.BLURRED)]
    assert ranked(fields) == [fields[1]]
    assert ranked(fields[:1]) == []


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([FieldKind.GLASS], "Of 1 field 1 is glass: nothing there can be counted."),
        (
            [FieldKind.RED_CELLS] * 2 + [FieldKind.GLASS] * 3,
            "Of 5 fields 3 are glass and 2 are red cells only: nothing there can be counted.",
        ),
        (
            [FieldKind.GOOD, FieldKind.THICK, FieldKind.GLASS, FieldKind.GLASS],
            "Of 4 fields 1 can be counted; 2 are glass and 1 is too thick.",
        ),
        ([FieldKind.GOOD] * 2, "Of 2 fields 2 can be counted."),
    ],
)
def test_what_was_seen_in_a_sentence(found, sentence):
    assert seen([made(0, i, kind) for i, kind in enumerate(found)]) == sentence
