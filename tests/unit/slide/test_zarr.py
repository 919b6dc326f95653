"""OME-Zarr: what others write opens with its levels and µm/px; what is damaged or hostile is told of."""

from __future__ import annotations

import gzip
import json
import os
import pickle

import numpy as np
import pytest
from numcodecs import Blosc, GZip
from painted_slides import texture
from painted_zarr import halves, write_several, write_zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from napari_deepheme.errors import DamagedTileError, SlideError
from napari_deepheme.slide import Damaged, open_slide

FULL = texture(640, 512)
LEVELS = halves(FULL, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"version": "0.4", "compressors": Blosc()},
        {"version": "0.4", "compressors": GZip(), "axes": tuple("cyx")},
        {"version": "0.4", "compressors": None},
        {"version": "0.5", "compressors": BloscCodec()},
        {"version": "0.5", "compressors": ZstdCodec(), "axes": tuple("yxc")},
        {"version": "0.5", "compressors": GzipCodec(), "shards": (1, 1, 1, 256, 192)},
    ],
    ids=lambda options: "-".join(str(value)[:12] for value in options.values()),
)
def test_both_versions_open_with_levels_and_scale(tmp_path, options):
    with open_slide(write_zarr(tmp_path / "a.zarr", *LEVELS, **options)) as slide:
        info = slide.info
        assert (info.format, info.shape) == ("OME-Zarr", (640, 512))
        assert [level.shape for level in info.levels] == [(640, 512), (320, 256)]
        assert info.mpp == pytest.approx((0.25, 0.25))
        assert info.mpp_source == "OME-Zarr scale"
        for level, pixels in enumerate(LEVELS):
            assert np.array_equal(slide.level_pixels(level, (0, 0, *pixels.shape[:2])), pixels)
        again = pickle.loads(pickle.dumps(slide))
        assert np.array_equal(again.read((99, 99), (65, 65), 0.25), FULL[67:132, 67:132])


def test_label_and_macro_of_bioformats2raw_are_found(tmp_path):
    path = write_several(
        tmp_path / "a.zarr", ("Label", [FULL[:50, :40]]), ("scan", LEVELS), ("", [FULL[:60, :70]])
    )
    with open_slide(path) as slide:
        assert slide.info.shape == (640, 512)
        assert slide.info.associated == ("label", "image-3")
        assert np.array_equal(slide.associated_image("label"), FULL[:50, :40])


@pytest.mark.parametrize("scale", [(0.0, 0.0), (float("nan"), 1.0), (-250.0, 0.25)])
def test_a_scale_that_says_nothing_is_unknown(tmp_path, scale):
    with open_slide(write_zarr(tmp_path / "a.zarr", *LEVELS, scale=scale)) as slide:
        assert slide.info.mpp is None


def test_a_scale_without_a_unit_is_unknown(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", *LEVELS, scale=(0.25, 0.25))
    edit(path / "zarr.json", lambda said: [axis.pop("unit", 0) for axis in image(said)["axes"]])
    with open_slide(path) as slide:
        assert slide.info.mpp is None


def edit(path, change):
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))


def image(said):
    return said["attributes"]["ome"]["multiscales"][0]


def test_what_is_no_rgb_of_8_bits_is_refused(tmp_path):
    with pytest.raises(SlideError, match="got pixels of type uint16"):
        open_slide(write_zarr(tmp_path / "16.zarr", FULL.astype(np.uint16)))
    with pytest.raises(SlideError, match="got 2 channels"):
        open_slide(write_zarr(tmp_path / "2.zarr", FULL[..., :2]))
    path = write_zarr(tmp_path / "f.zarr", FULL)
    colours = [{"color": colour} for colour in ("0000FF", "00FF00", "FF0000")]
    edit(path / "zarr.json", lambda said: said["attributes"]["ome"].update(omero={"channels": colours}))
    with pytest.raises(SlideError, match="colours 0000FF"):
        open_slide(path)


def test_a_damaged_chunk_is_told_of_and_the_rest_is_read(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", FULL, compressors=GzipCodec())
    chunk = path / "0/c/0/1/0/4/0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 255
    chunk.write_bytes(data)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read((99, 99), (65, 65), 0.25), FULL[67:132, 67:132])
        with pytest.raises(DamagedTileError, match=r"block .* of level 0 is damaged"):
            slide.read((560, 40), (9, 9), 0.25)
        assert (slide.read((560, 40), (9, 9), 0.25, damaged=Damaged.SHOW) == 128).all()


@pytest.mark.parametrize("codec", [GzipCodec(), BloscCodec(), ZstdCodec()], ids=lambda c: type(c).__name__)
def test_a_chunk_unpacks_to_its_own_size_and_no_further(tmp_path, codec, monkeypatch):
    """A chunk of a few kB may claim gigabytes."""
    path = write_zarr(tmp_path / "a.zarr", FULL, compressors=codec)
    bomb = np.zeros(40_000_000, np.uint8)
    chunk = path / "0/c/0/0/0/0/0"
    from numcodecs import Zstd  # noqa: PLC0415

    pack = {GzipCodec: gzip.compress, BloscCodec: Blosc().encode, ZstdCodec: Zstd().encode}[type(codec)]
    chunk.write_bytes(pack(bomb))
    monkeypatch.setattr("numcodecs.gzip.GZip.decode", None)
    with open_slide(path) as slide, pytest.raises(DamagedTileError):
        slide.read((40, 40), (9, 9), 0.25)


def test_huge_chunks_and_unknown_codecs_are_refused(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", FULL)
    grid = {"name": "regular", "configuration": {"chunk_shape": [1, 3, 1, 100_000, 100_000]}}
    edit(path / "0/zarr.json", lambda said: said.update(chunk_grid=grid))
    with pytest.raises(SlideError, match="too large to unpack"):
        open_slide(path)
    path = write_zarr(tmp_path / "b.zarr", FULL, version="0.4")
    edit(path / "0/.zarray", lambda said: said.update(compressor={"id": "bz2", "level": 1}))
    with pytest.raises(SlideError, match="'bz2' is not supported"):
        open_slide(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.update(attributes={"ome": {"multiscales": 3}}),
        lambda said: said.update(attributes={}),
        lambda said: image(said).update(axes=[{"name": "a"}] * 5),
        lambda said: image(said)["axes"].pop(),
        lambda said: image(said)["datasets"][0].update(path="../../outside/0"),
        lambda said: image(said)["datasets"][0].update(path="nothing"),
        lambda said: said.update(node_type="array"),
        lambda said: said["attributes"]["ome"].update(plate={}),
    ],
)
def test_attributes_that_cannot_be_are_told_in_a_sentence(tmp_path, change):
    write_zarr(tmp_path / "outside", FULL)
    path = write_zarr(tmp_path / "in/a.zarr", FULL)
    edit(path / "zarr.json", change)
    with pytest.raises(SlideError, match=r"a\.zarr"):
        open_slide(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_for_chunks_are_not_opened(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", FULL)
    (path / "0/c/0/0/0/0/0").unlink()
    os.mkfifo(path / "0/c/0/0/0/0/0")
    (path / "0/c/0/0/0/0/1").unlink()
    (path / "0/c/0/0/0/0/1").symlink_to("/dev/zero")
    with open_slide(path) as slide:
        for x in (40, 140):
            with pytest.raises(DamagedTileError, match=r"it is a (pipe|device)"):
                slide.read((40, x), (9, 9), 0.25)
    (path / "0/zarr.json").unlink()
    os.mkfifo(path / "0/zarr.json")
    with pytest.raises(SlideError, match="it is a pipe"):
        open_slide(path)


def test_without_zarr_the_extra_is_named(tmp_path, monkeypatch):
    path = write_zarr(tmp_path / "a.zarr", FULL)
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(SlideError, match=r"pip install 'napari-deepheme\[zarr\]'"):
        open_slide(path)
