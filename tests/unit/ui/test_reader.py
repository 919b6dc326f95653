"""What napari gets when a slide is dropped on it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils import resize_dask_cache

from napari_deepheme.errors import SlideError
from napari_deepheme.ui.reader import get_reader

APERIO = "Aperio Image Library v12\n1300x1500 (128x128) JPEG/RGB|AppMag = 40|MPP = 0.25"


@pytest.fixture
def slide_path(tmp_path):
    path, rng = tmp_path / "case 7.svs", np.random.default_rng(0)
    options = {"photometric": "rgb", "compression": "deflate", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        full = rng.integers(0, 255, (1500, 1300, 3), np.uint8)
        writer.write(full, tile=(128, 128), description=APERIO, **options)
        writer.write(full[::10, ::10], description="Aperio\nthumbnail", **options)
        writer.write(full[::4, ::4], tile=(128, 128), description="Aperio\nlevel", **options)
        writer.write(full[::20, ::20], subfiletype=1, description="Aperio\nlabel", **options)
    return str(path)


@pytest.mark.parametrize(
    "name", ["a.svs", "A.SVS", "b.ndpi", "c.ome.tif", "d.qptiff", "e.JPG", "f.png", "g.bif"]
)
def test_slides_are_taken_by_name_alone(name):
    assert get_reader(name) is not None
    assert get_reader([name]) is not None


@pytest.mark.parametrize("path", ["a.csv", "folder", "a.svs.db", ["a.svs", "a.csv"], []])
def test_other_files_are_left_to_other_readers(path):
    assert get_reader(path) is None


def test_a_slide_becomes_one_lazy_layer_in_um(slide_path):
    (data,) = get_reader(slide_path)(slide_path)
    layer = Layer.create(*data)
    assert layer.name == "case 7"
    assert layer.rgb
    assert layer.multiscale
    assert tuple(layer.scale) == (0.25, 0.25)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert tuple(layer.contrast_limits) == (0, 255)
    assert [level.shape for level in layer.data] == [(1500, 1300, 3), (375, 325, 3)]


def test_looking_around_fills_no_cache_of_naparis(slide_path):
    viewer, held = ViewerModel(), resize_dask_cache().cache.total_bytes
    (data, options, _) = get_reader(slide_path)(slide_path)[0]
    layer = viewer.add_image(data, **options)
    with layer.dask_optimized_slicing():  # as napari reads what it draws
        layer.data[0].compute()
    assert resize_dask_cache().cache.total_bytes == held


def test_the_layer_says_where_it_came_from(slide_path):
    metadata = get_reader(slide_path)(slide_path)[0][1]["metadata"]
    associated = metadata.pop("associated")
    assert metadata == {
        "deepheme_slide": slide_path,
        "mpp": (0.25, 0.25),
        "mpp_source": "Aperio MPP tag",
        "format": "Aperio SVS",
        "warnings": [],
    }
    assert associated["label"].shape == (75, 65, 3)
    assert associated["thumbnail"].compute().dtype == np.uint8


def test_a_viewer_draws_it(slide_path):
    viewer = ViewerModel()
    (data, options, _) = get_reader(slide_path)(slide_path)[0]
    viewer.add_image(data, **options)
    assert viewer.layers[0].extent.world[1] == pytest.approx([375, 325], rel=0.01)


def test_a_field_of_view_without_scale_is_shown_in_pixels(tmp_path):
    path = str(tmp_path / "field.tif")
    tifffile.imwrite(path, np.zeros((300, 400, 3), np.uint8), photometric="rgb")
    layer = Layer.create(*get_reader(path)(path)[0])
    assert not layer.multiscale
    assert tuple(layer.scale) == (1, 1)
    assert {str(unit) for unit in layer.units} == {"pixel"}


def test_several_slides_become_several_layers(slide_path):
    assert len(get_reader([slide_path, slide_path])([slide_path, slide_path])) == 2


def test_what_cannot_be_opened_is_told_in_a_sentence(tmp_path):
    path = tmp_path / "a.svs"
    path.write_text("no slide")
    with pytest.raises(SlideError, match="not a slide or picture"):
        get_reader(str(path))(str(path))
