from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_deepheme.errors import OutputError
from napari_deepheme.jobs import drain
from napari_deepheme.synth import SmearSpec, render_region, truth, write_smear

SPEC = SmearSpec((1100, 1300), 30, seed=9, mpp=0.25)


@pytest.fixture(scope="module", params=["smear.svs", "smear.tif"])
def written(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / request.param
    steps = []
    table = drain(write_smear(path, SPEC), steps.append)
    return path, table, steps


def test_file_is_an_aperio_pyramid_with_its_scale(written):
    path, _, _ = written
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_svs
        assert [level.shape for level in tiff.series[0].levels] == [(1100, 1300, 3), (275, 325, 3)]
        page = tiff.pages.first
        assert "|AppMag = 40|MPP = 0.2500|" in page.description
        assert page.tags["XResolution"].value == (40000, 1)
        assert page.tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
        assert (page.tilewidth, page.tilelength) == (256, 256)


def test_pixels_are_those_rendered_but_for_compression(written):
    path, _, _ = written
    with tifffile.TiffFile(path) as tiff:
        full, small = (level.asarray() for level in tiff.series[0].levels)
    expected = render_region(SPEC, 0, 0, *SPEC.shape)
    assert np.abs(full.astype(int) - expected).mean() < 5
    reduced = render_region(SPEC, 0, 0, *SPEC.shape, downsample=4)
    assert np.abs(small.astype(int) - reduced).mean() < 6


def test_truth_lies_beside_the_file_and_is_returned(written):
    path, table, _ = written
    beside = pd.read_csv(path.with_suffix(".truth.csv"))
    pd.testing.assert_frame_equal(beside, table, check_dtype=False)
    pd.testing.assert_frame_equal(table, truth(SPEC))


def test_progress_ends_at_the_last_row_and_nothing_else_is_left(written):
    path, _, steps = written
    assert (steps[0].stage, steps[0].done) == ("Rendering", 0)
    assert (steps[-1].done, steps[-1].total) == (1100, 1100)
    assert {each.name for each in path.parent.iterdir()} == {path.name, path.stem + ".truth.csv"}


def test_smear_smaller_than_a_tile_can_be_written(tmp_path):
    drain(write_smear(tmp_path / "tiny.svs", SmearSpec((90, 120), 1, seed=1)))
    with tifffile.TiffFile(tmp_path / "tiny.svs") as tiff:
        assert tiff.series[0].shape == (90, 120, 3)


def test_cancelled_writing_leaves_nothing(tmp_path):
    job = write_smear(tmp_path / "smear.svs", SPEC)
    next(job)
    next(job)
    job.close()
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"folder .*nowhere does not exist"):
        drain(write_smear(tmp_path / "nowhere" / "smear.svs", SPEC))
