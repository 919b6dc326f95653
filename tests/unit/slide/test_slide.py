"""A cell must be read where it lies: every level, scale and offset, to a tenth of a pixel."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painted_slides import dots, texture, write_tiff

from napari_deepheme.errors import ScaleError, SlideError
from napari_deepheme.slide import open_slide

SHAPE = (1199, 1437)  # odd, so that no downsample is whole


@pytest.fixture(scope="module")
def dotted(tmp_path_factory):
    """Dots at (80 + 160 i, 80 + 160 j), three levels whose downsamples are 1.998… and 3.99…."""
    small = [(SHAPE[0] // n, SHAPE[1] // n) for n in (2, 4)]
    levels = [dots(s, (SHAPE[0] / s[0], SHAPE[1] / s[1])) for s in (SHAPE, *small)]
    path = write_tiff(tmp_path_factory.mktemp("dots") / "dots.tif", *levels)
    with open_slide(path, mpp=0.25) as slide:
        yield slide


def centroid(pixels):
    dark = 255.0 - pixels[..., 0]
    dark[dark < 4] = 0
    grid = np.indices(dark.shape)
    return [(axis * dark).sum() / dark.sum() for axis in grid]


@settings(max_examples=120, deadline=None)
@given(
    dot=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    off=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    downsample=st.floats(0.6, 7.0),
    odd=st.booleans(),
)
def test_a_dot_is_read_at_its_place_at_every_scale(dotted, dot, off, downsample, odd):
    truth = [80 + 160 * k for k in dot]
    centre = (truth[0] + off[0], truth[1] + off[1])
    side = int(130 / downsample) // 2 * 2 + odd
    pixels = dotted.read_downsampled(centre, (side, side), (downsample, downsample))
    for found, true, middle in zip(centroid(pixels), truth, centre, strict=True):
        assert found == pytest.approx((true - middle) / downsample + (side - 1) / 2, abs=0.1)


def test_levels_of_the_file_are_all_used(dotted):
    assert [level.downsample[0] for level in dotted.info.levels] == [1, 1199 / 599, 1199 / 299]
    assert [array.shape[:2] for array in dotted.pyramid()] == [SHAPE, (599, 718), (299, 359)]


def test_computed_levels_agree_with_the_file(dotted, tmp_path):
    """A slide without a pyramid must show the same thing in the same place, only slower."""
    with open_slide(write_tiff(tmp_path / "flat.tif", dots(SHAPE)), mpp=0.25) as flat:
        for downsample in (2.2, 4.3, 6.0):
            seen = [
                slide.read_downsampled((600, 700), (100, 120), (downsample, downsample)).astype(int)
                for slide in (dotted, flat)
            ]
            assert np.abs(seen[0] - seen[1]).max() <= 4


@pytest.mark.parametrize("level", [0, 1])
def test_pixels_on_the_grid_are_handed_over_untouched(tmp_path, level):
    full, half = texture(512, 512), texture(256, 256, seed=1)
    with open_slide(write_tiff(tmp_path / "a.tif", full, half), mpp=0.25) as slide:
        scale = 2**level
        first = np.array([100, 60])
        centre = (first + 31.5 + 0.5) * scale - 0.5
        pixels = slide.read(tuple(centre), (64, 64), 0.25 * scale)
        assert np.array_equal(pixels, (full, half)[level][100:164, 60:124])


@pytest.mark.parametrize("off", [-0.0009, -0.0004, 0.0, 0.0004, 0.0009])
def test_a_read_almost_on_the_grid_along_one_axis_only(dotted, off):
    # as one crop in a few hundred is; Pillow refuses a box that leaves the image by a hair
    nearly = dotted.read_downsampled((100.5 + off, 120.3), (96, 96), (1.0, 1.0))
    exactly = dotted.read_downsampled((100.5, 120.3), (96, 96), (1.0, 1.0))
    np.testing.assert_allclose(nearly.astype(int), exactly, atol=1)


def test_beyond_the_edge_the_nearest_pixel_is_repeated(tmp_path):
    full = texture(150, 140)
    with open_slide(write_tiff(tmp_path / "a.tif", full), mpp=0.25) as slide:
        corner = slide.read((0, 0), (21, 21), 0.25)
        assert np.array_equal(corner[10:, 10:], full[:11, :11])
        assert (corner[:10, :10] == full[0, 0]).all()
        assert (slide.read((1000, 1000), (9, 9), 0.25) == full[-1, -1]).all()
        assert slide.read((75, 70), (8, 8), 5.0).shape == (8, 8, 3)


def test_pixels_that_are_not_square_are_read_to_square_ones(tmp_path):
    """0.5 µm high, 0.25 µm wide: a round cell must come out round."""
    path = write_tiff(
        tmp_path / "a.tif", dots((600, 1200), (2, 1)), resolution=(40000, 20000), resolutionunit="CENTIMETER"
    )
    with open_slide(path) as slide:
        assert slide.info.mpp == (0.5, 0.25)
        # dot (2, 3) lies at (400, 560) in square pixels of 0.25 µm
        pixels = slide.read(((400 + 0.5) / 2 - 0.5, 560), (101, 101), 0.25)
        assert centroid(pixels) == pytest.approx([50, 50], abs=0.1)


def test_without_a_scale_a_read_in_um_asks_for_it(tmp_path):
    with open_slide(write_tiff(tmp_path / "a.tif", texture(200, 200))) as slide:
        assert (slide.info.mpp, slide.info.mpp_source) == (None, "missing")
        with pytest.raises(ScaleError, match=r"a\.tif.*µm/px is not known.*--mpp"):
            slide.read((1, 1), (8, 8), 0.25)


def test_a_given_scale_wins_and_says_so(tmp_path):
    path = write_tiff(tmp_path / "a.tif", texture(200, 200), resolution=(40000, 40000), resolutionunit=3)
    with open_slide(path, mpp=0.5) as slide:
        assert (slide.info.mpp, slide.info.mpp_source) == ((0.5, 0.5), "given by the user")
    with open_slide(path) as slide:
        assert (slide.info.mpp, slide.info.mpp_source) == ((0.25, 0.25), "TIFF resolution tags")


@pytest.mark.parametrize("mpp", [0.01, 25.0, float("nan")])
def test_a_given_scale_that_cannot_be_is_refused(tmp_path, mpp):
    path = write_tiff(tmp_path / "a.tif", texture(200, 200))
    with pytest.raises(ScaleError, match=rf"given by the user is {mpp:g}, expected 0.05 to 5"):
        open_slide(path, mpp=mpp)


def test_an_implausible_scale_in_the_file_can_be_remedied(tmp_path):
    description = "Aperio Image Library v12\n200x200|MPP = 250"
    path = write_tiff(tmp_path / "a.svs", texture(200, 200), description=description)
    with open_slide(path) as slide:
        assert slide.info.mpp is None
        with pytest.raises(ScaleError, match=r"Aperio MPP tag gives 250 µm/px"):
            slide.read((1, 1), (8, 8), 0.25)
    with open_slide(path, mpp=0.25) as slide:
        assert slide.info.warnings == ()


def test_overview_shows_the_whole_slide(dotted):
    pixels, downsample = dotted.overview(300)
    assert max(pixels.shape) == 300
    assert downsample == pytest.approx([SHAPE[0] / 250, SHAPE[1] / 300])
    assert dotted.overview(9999)[0].shape == (*SHAPE, 3)


def test_pyramid_is_what_the_file_holds_in_square_chunks(tmp_path):
    full, half = texture(1300, 900), texture(650, 450, seed=1)
    with open_slide(write_tiff(tmp_path / "a.tif", full, half)) as slide:
        arrays = slide.pyramid()
        assert [array.shape for array in arrays] == [(1300, 900, 3), (650, 450, 3)]
        assert arrays[0].chunksize == (512, 512, 3)
        assert np.array_equal(arrays[0].compute(), full)
        assert np.array_equal(arrays[1].compute(), half)
        assert np.array_equal(arrays[0][700:3:-3, ::7, 1].compute(), full[700:3:-3, ::7, 1])


def test_a_strip_wise_slide_is_never_held_whole(tmp_path):
    """An overview of a 20,000 px TIFF without a pyramid must not need a gigabyte."""
    full = texture(3000, 5000)
    path = write_tiff(tmp_path / "strips.tif", full, tile=None, rowsperstrip=40)
    with open_slide(path) as slide:
        slide._cache._max_bytes = 4 * 2**20
        pixels, _ = slide.overview(1000)
        assert slide._cache.nbytes <= 4 * 2**20
        assert pixels.shape == (600, 1000, 3)
        block = full[:200, :200].reshape(40, 5, 40, 5, 3).mean((1, 3))
        assert np.abs(pixels[:40, :40] - block)[2:-2, 2:-2].mean() < 12


def test_strips_are_decoded_once_for_an_overview(tmp_path, monkeypatch):
    full = texture(3000, 5000)
    path = write_tiff(tmp_path / "strips.tif", full, tile=None, rowsperstrip=40)
    with open_slide(path) as slide:
        slide._cache._max_bytes = 8 * 2**20
        plane, decoded = slide._planes[0], []
        segment = plane._segment
        monkeypatch.setattr(
            plane, "_segment", lambda index, *rest: (decoded.append(index), segment(index, *rest))[1]
        )
        slide.overview(1000)
        assert len(decoded) == len(set(decoded)) >= 74


def test_threads_get_the_same_pixels(dotted):
    centres = [(y, x) for y in range(100, 1100, 200) for x in range(100, 1400, 200)]

    def read(centre):
        return dotted.read_downsampled(centre, (64, 64), (3.0, 3.0))

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(read, centres))
    assert all(np.array_equal(a, read(c)) for a, c in zip(together, centres, strict=True))


def test_a_slide_travels_to_a_dask_worker(dotted):
    with pickle.loads(pickle.dumps(dotted)) as copy:
        assert copy.info == dotted.info
        assert np.array_equal(copy.read((300, 300), (32, 32), 1.0), dotted.read((300, 300), (32, 32), 1.0))


def test_a_closed_slide_says_so(tmp_path):
    slide = open_slide(write_tiff(tmp_path / "a.tif", texture(200, 200)))
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="was closed"):
        slide.read_downsampled((9, 9), (8, 8), (1, 1))


@pytest.mark.parametrize(("shape", "downsample"), [((0, 5), (1, 1)), ((5, 5), (0, 1)), ((5, 5), (1, np.nan))])
def test_a_read_of_nothing_is_a_mistake(dotted, shape, downsample):
    with pytest.raises(ValueError, match="positive"):
        dotted.read_downsampled((9, 9), shape, downsample)


def test_an_associated_image_that_is_not_there_is_named(dotted):
    with pytest.raises(KeyError, match="label"):
        dotted.associated_image("label")


def test_repr_helps_in_a_notebook(dotted):
    assert repr(dotted) == "<Slide 'dots.tif' TIFF 1199 x 1437, 0.25 um/px>"
