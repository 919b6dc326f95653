from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from napari_deepheme.datasets import duplicates
from napari_deepheme.datasets.dataset import TrainingImage
from napari_deepheme.datasets.duplicates import duplicate_groups, read_thumbnails, refuse_crossing
from napari_deepheme.datasets.split import Split
from napari_deepheme.errors import OptionError, SlideError
from napari_deepheme.jobs import drain

SIDE = 120


def cell(seed: int) -> Image.Image:
    """A dark disc in the middle of a pale ground, as every cell is, textured, a neighbour beside it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = np.full((SIDE, SIDE, 3), (235.0, 215.0, 205.0))
    pixels[np.hypot(y - 60, x - 60) < 30] = (120, 80, 150)
    pixels[np.hypot(y - rng.uniform(0, 20), x - rng.uniform(0, SIDE)) < 25] = (215, 160, 160)
    texture = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 3) * 300
    return Image.fromarray(np.clip(pixels + texture[..., None], 0, 255).astype(np.uint8))


def brighter(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(image) * 1.08, 0, 255).astype(np.uint8))


COPIES = {
    "png": lambda image, path: image.save(path.with_suffix(".png")),
    "jpeg": lambda image, path: image.save(path.with_suffix(".jpg"), quality=60),
    "tiff": lambda image, path: tifffile.imwrite(path.with_suffix(".tif"), np.asarray(image)),
    "smaller": lambda image, path: image.resize((108, 108)).save(path.with_suffix(".png")),
    "brighter": lambda image, path: brighter(image).save(path.with_suffix(".png")),
    "all": lambda image, path: brighter(image.resize((108, 108))).save(path.with_suffix(".jpg"), quality=60),
}


def groups_of(folder: Path) -> list[int]:
    return duplicate_groups(drain(read_thumbnails(sorted(folder.iterdir()))).pixels).tolist()


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_picture_stored_again_is_found(tmp_path, copy):
    cell(0).save(tmp_path / "0.png")
    cell(1).save(tmp_path / "1.png")
    copy(cell(0), tmp_path / "copy")
    first, other, again = groups_of(tmp_path)
    assert first == again
    assert first != other


def test_cells_that_only_look_alike_stay_apart(tmp_path):
    for seed in range(30):
        cell(seed).save(tmp_path / f"{seed:02}.png")
    assert len(set(groups_of(tmp_path))) == 30


def test_pictures_are_compared_across_blocks_too(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 2)
    for name, seed in enumerate((0, 1, 2, 3, 0, 2, 0)):
        cell(seed).save(tmp_path / f"{name}.png")
    first, second, third, fourth, *again = groups_of(tmp_path)
    assert again == [first, third, first]
    assert len({first, second, third, fourth}) == 4


def test_pictures_without_detail_are_nobodys_duplicates():
    blank = np.full((3, 24, 24, 3), 200, np.float32)
    assert len(set(duplicate_groups(blank).tolist())) == 3


def test_no_picture_is_no_group():
    assert duplicate_groups(np.zeros((0, 24, 24, 3), np.float32)).shape == (0,)


def test_an_unreadable_image_is_named_and_the_others_keep_their_places(tmp_path):
    cell(0).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff damaged")
    cell(2).save(tmp_path / "c.png")
    found = drain(read_thumbnails([tmp_path / name for name in ("a.png", "b.jpg", "c.png")]))
    assert found.kept == (0, 2)
    assert found.pixels.shape == (2, 24, 24, 3)
    assert len(found.faults) == 1
    assert "b.jpg" in found.faults[0]


def test_when_no_image_can_be_read_that_is_an_error(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(SlideError, match=r"None of 1 images can be read: .*b\.jpg"):
        drain(read_thumbnails([tmp_path / "b.jpg"]))


def test_reading_says_how_far_it_is(tmp_path):
    cell(0).save(tmp_path / "a.png")
    (step,) = read_thumbnails([tmp_path / "a.png"])
    assert (step.stage, step.done, step.total) == ("Looking for duplicates", 1, 1)


def labelled(codes: str) -> list[TrainingImage]:
    return [TrainingImage(Path(f"{i}.png"), code.lower(), code) for i, code in enumerate(codes)]


def halves(val: list[int], n: int, by: str) -> Split:
    return Split(np.setdiff1d(np.arange(n), val), np.array(val, np.intp), by, ())


def test_a_given_split_with_the_same_picture_on_both_sides_is_refused():
    with pytest.raises(
        OptionError,
        match=r"1 pair of duplicates: .* in train and in val.*\(0\.png \(a\) and 2\.png \(a\)\); remove one",
    ):
        refuse_crossing(labelled("AAA"), np.array([5, 6, 5]), halves([2], 3, "as given"))


def test_of_many_pairs_the_first_are_named():
    groups = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    with pytest.raises(OptionError, match=r"4 pairs .*0\.png.*4\.png.*2\.png.*6\.png \(a\) and 1 more\)"):
        refuse_crossing(labelled("A" * 8), groups, halves([4, 5, 6, 7], 8, "as given"))


@pytest.mark.parametrize("by", ["as given", "by patient", "by image"])
def test_a_picture_with_two_classes_is_refused_whatever_the_split(by):
    with pytest.raises(
        OptionError, match=r"two classes \(0\.png \(a\) and 1\.png \(b\)\); correct one label"
    ):
        refuse_crossing(labelled("ABA"), np.array([0, 0, 1]), halves([2], 3, by))


def test_duplicates_on_one_side_are_no_fault():
    refuse_crossing(labelled("AAB"), np.array([0, 0, 1]), halves([2], 3, "as given"))
