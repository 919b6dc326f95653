"""Slides from anywhere: no other file is opened, no memory is filled, every file has its own verdict."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from painted_slides import texture, write_tiff

from napari_deepheme.errors import DamagedTileError, SlideError
from napari_deepheme.slide import open_slide

FULL = texture(640, 512)


def test_two_threads_get_the_verdict_of_their_own_file(tmp_path):
    """What tifffile says of one file must not be held against another that is opened at the same moment."""
    good = write_tiff(tmp_path / "good.tif", FULL)
    cut = write_tiff(tmp_path / "cut.tif", FULL, texture(320, 256))
    with tifffile.TiffFile(cut) as tiff:
        at = tiff.pages[1].offset
    cut.write_bytes(cut.read_bytes()[: at + 40])

    def verdicts(path: Path) -> list[bool]:
        seen = []
        for _ in range(100):
            try:
                open_slide(path).close()
                seen.append(True)
            except SlideError:
                seen.append(False)
        return seen

    with ThreadPoolExecutor(2) as pool:
        of_good, of_cut = pool.map(verdicts, (good, cut))
    assert of_good == [True] * 100
    assert of_cut == [False] * 100


def test_closing_while_others_read_is_told_as_that_and_not_as_damage(tmp_path):
    path = write_tiff(tmp_path / "a.tif", FULL)
    said: set[str] = set()
    for _ in range(20):
        slide = open_slide(path)
        go = threading.Barrier(4)

        def read(slide=slide, go=go) -> None:
            go.wait()
            for y in range(60, 600, 40):
                try:
                    slide._cache.clear()
                    slide.read_downsampled((y, 200), (64, 64), (1, 1))
                except SlideError as err:
                    said.add("closed" if "was closed" in str(err) else str(err))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        go.wait()
        slide.close()
        for reader in readers:
            reader.join()
    assert said <= {"closed"}


def _wrong_windows(slide, expected, seed: int, wrong) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(150):
        y, x = (int(n) for n in rng.integers(40, 470, 2))
        slide._cache.clear()
        pixels = slide.read_downsampled((y, x), (33, 33), (1, 1))
        if not np.array_equal(pixels, expected[y - 16 : y + 17, x - 16 : x + 17]):
            wrong.value += 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_parent_and_children_read_their_own_windows(tmp_path):
    """They share the position of an open file."""
    context = multiprocessing.get_context("fork")
    with open_slide(write_tiff(tmp_path / "a.tif", FULL)) as slide:
        wrong = context.Value("i", 0)
        children = [
            context.Process(target=_wrong_windows, args=(slide, FULL, seed, wrong)) for seed in (1, 2)
        ]
        for child in children:
            child.start()
        _wrong_windows(slide, FULL, 3, wrong)
        for child in children:
            child.join()
            assert child.exitcode == 0
    assert wrong.value == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_does_not_wait_for_a_thread_that_only_its_parent_has(tmp_path):
    with open_slide(write_tiff(tmp_path / "a.tif", FULL)) as slide:
        with slide._cache._lock, slide._planes[0]._file._lock:
            child = multiprocessing.get_context("fork").Process(
                target=slide.read_downsampled, args=((99, 99), (9, 9), (1, 1))
            )
            child.start()
        child.join(20)
        assert child.exitcode == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_refused_unopened(tmp_path):
    os.mkfifo(tmp_path / "pipe.svs")
    with pytest.raises(SlideError, match="it is a pipe"):
        open_slide(tmp_path / "pipe.svs")
    with pytest.raises(SlideError, match="it is a device"):
        open_slide("/dev/zero")


def ome(path: Path, name: str, sizes: str = 'SizeC="1" SizeZ="1" SizeT="1"') -> Path:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:00000000-0000-0000-0000-000000000001"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XYCZT" Type="uint8" SizeX="512" SizeY="640" {sizes}>'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:00000000-0000-0000-0000-000000000002</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, FULL, photometric="rgb", tile=(128, 128), description=xml, metadata=None)
    return path


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "..\\secret.tif", "notes.txt", "pipe"]
)
def test_ome_xml_opens_nothing_but_slides_beside_it(tmp_path, name, monkeypatch):
    (tmp_path / "notes.txt").write_text("private")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    elif name == "pipe":
        pytest.skip("this system has no named pipes")
    path = ome(tmp_path / "a.ome.tif", name)
    opened = []
    monkeypatch.setattr(tifffile.tifffile.FileHandle, "open", _noting(opened))
    with pytest.raises(SlideError, match="no TIFF beside it"):
        open_slide(path)
    assert set(opened) <= {str(path)}


def _noting(opened: list[str]):
    original = tifffile.tifffile.FileHandle.open

    def note(self, *args, **kwargs):
        opened.append(str(getattr(self, "_file", "")))
        return original(self, *args, **kwargs)

    return note


def test_ome_xml_of_more_planes_than_can_be_is_refused(tmp_path):
    path = ome(tmp_path / "a.ome.tif", "a.ome.tif", 'SizeC="1" SizeZ="999999999" SizeT="1"')
    with pytest.raises(SlideError, match="claims 999999999 planes"):
        open_slide(path)


def test_xml_of_millions_of_tags_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr("xml.etree.ElementTree.fromstring", lambda _: pytest.fail("parsed"))
    xml = "<OME>" + "<a/>" * 10**6 + "</OME>"
    tifffile.imwrite(tmp_path / "a.tif", FULL, photometric="rgb", description=xml, metadata=None)
    with pytest.raises(SlideError, match="1000002 XML tags, expected at most 1000000"):
        open_slide(tmp_path / "a.tif")


def test_data_sets_of_micro_manager_are_refused_before_their_index_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tifffile.tifffile, "read_micromanager_metadata", lambda *_: pytest.fail("read"))
    tag = (51123, "s", 0, "{}", True)
    tifffile.imwrite(tmp_path / "a.tif", FULL, photometric="rgb", extratags=[tag], metadata=None)
    with pytest.raises(SlideError, match="data set of Micro-Manager"):
        open_slide(tmp_path / "a.tif")


def test_a_tiff_of_more_pages_than_a_slide_has_is_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_deepheme.slide.ifds.MAX_PAGES", 20)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(22):
            writer.write(np.zeros((16, 16), np.uint8), photometric="minisblack", metadata=None)
    with pytest.raises(SlideError, match="more than 20 pages"):
        open_slide(tmp_path / "a.tif")


def test_a_height_that_is_no_whole_number_is_refused(tmp_path):
    path = write_tiff(tmp_path / "a.tif", FULL)
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].tags["ImageLength"].offset
    data = bytearray(path.read_bytes())
    data[at + 2 : at + 4] = (11).to_bytes(2, sys.byteorder)
    path.write_bytes(data)
    with pytest.raises(SlideError, match=r"a\.tif"):
        open_slide(path)


def test_a_tile_that_unpacks_to_less_or_more_is_damaged(tmp_path):
    import zlib  # noqa: PLC0415

    tile = FULL[:128, :128].tobytes()
    packed = [zlib.compress(part) for part in (tile, tile[:-500], tile + tile, tile)]
    path = tmp_path / "a.tif"
    options = {"shape": (256, 256, 3), "dtype": "uint8", "tile": (128, 128), "photometric": "rgb"}
    tifffile.imwrite(path, iter(packed), compression="zlib", **options)
    with open_slide(path) as slide:
        assert slide.read_downsampled((64, 64), (9, 9), (1, 1)).shape == (9, 9, 3)
        for centre in ((64, 192), (192, 64)):
            with pytest.raises(DamagedTileError):
                slide.read_downsampled(centre, (9, 9), (1, 1))
