"""Slides that are left to OpenSlide: they agree with our own reader where both read, and are as safe."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import sys
import threading

import numpy as np
import pytest
from painted_slides import write_vms
from PIL import Image

from napari_deepheme.errors import DamagedTileError, SlideError
from napari_deepheme.slide import Damaged, open_slide

openslide = pytest.importorskip("openslide", reason="the extra openslide is not installed")
NAME = "CMU-1-Small-Region"


@pytest.fixture
def dicom(shared, tmp_path):
    """The real DICOM slide, in a folder that may be written to."""
    folder = tmp_path / "dicom"
    shutil.copytree(shared / "slides/real" / f"{NAME}-dicom", folder, copy_function=shutil.copyfile)
    return folder


def largest(folder):
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)


def test_dicom_agrees_with_the_aperio_slide_it_was_made_of(shared):
    """Its tiles were encoded anew: 5 levels off in tissue, more if anything were displaced by a pixel."""
    folder = shared / "slides/real" / f"{NAME}-dicom"
    with open_slide(folder) as slide, open_slide(shared / "slides/real" / f"{NAME}.svs") as aperio:
        assert (slide.info.format, slide.info.mpp_source) == ("DICOM", "DICOM PixelSpacing")
        assert slide.info.shape == aperio.info.shape
        assert slide.info.mpp == pytest.approx(aperio.info.mpp)
        assert set(slide.info.associated) == {"label", "macro", "thumbnail"}
        assert slide.info.icc.startswith("sRGB")
        for name in ("label", "macro"):
            apart = slide.associated_image(name).astype(int) - aperio.associated_image(name)
            assert np.abs(apart).mean() < 4
        window = (900, 700, 1700, 1500)
        ours, its = (each.level_pixels(0, window).astype(int) for each in (aperio, slide))
        assert np.abs(ours - its).mean() < 6
        for y, x in ((0, 1), (1, 0)):
            moved = np.abs(ours[y:, x:] - its[: 800 - y, : 800 - x]).mean()
            assert moved > 1.5 * np.abs(ours - its).mean()


def test_a_dicom_slide_opens_by_any_of_its_files(shared):
    folder = shared / "slides/real" / f"{NAME}-dicom"
    with open_slide(folder) as whole:
        expected = whole.level_pixels(0, (600, 600, 800, 800))
        again = pickle.loads(pickle.dumps(whole))
    for path in folder.iterdir():
        with open_slide(path) as slide:
            assert np.array_equal(slide.level_pixels(0, (600, 600, 800, 800)), expected)
    with again:
        assert np.array_equal(again.level_pixels(0, (600, 600, 800, 800)), expected)


def test_a_folder_of_two_series_is_a_question(dicom):
    for path in list(dicom.iterdir()):
        data = path.read_bytes()
        at = data.index(b"\x20\x00\x0e\x00UI") + 8
        other = data[:at] + data[at : at + 4].replace(b"1", b"2") + data[at + 4 :]
        (dicom / f"other-{path.name}").write_bytes(other)
    with pytest.raises(SlideError, match="DICOM files of 2 series"):
        open_slide(dicom)


def test_a_damaged_tile_is_told_of_and_the_rest_is_read(dicom):
    path = largest(dicom)
    data = bytearray(path.read_bytes())
    frames = [at for at in range(len(data) - 3) if data[at : at + 3] == b"\xff\xd8\xff"]
    at = data.index(b"\xff\xc0", frames[0])
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"  # the first tile claims 65535²
    path.write_bytes(data)
    with open_slide(dicom) as slide:
        good = slide.level_pixels(0, (600, 600, 800, 800))
        with pytest.raises(DamagedTileError, match=r"block \(0, 0\) of level 0 is damaged"):
            slide.read_downsampled((50, 50), (9, 9), (1, 1))
        assert (slide.read_downsampled((50, 50), (9, 9), (1, 1), damaged=Damaged.SHOW) == 128).all()
        slide._cache.clear()
        assert np.array_equal(slide.level_pixels(0, (600, 600, 800, 800)), good)


@pytest.mark.parametrize("change", [1, 0x10000, 0x7F000000])
def test_a_frame_that_is_not_where_the_table_says_is_refused(dicom, change):
    """OpenSlide would end the process, after flipped bits in the table or an end cut off."""
    path = largest(dicom)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xe0\x7f\x10\x00OB") + 12 + 8 + 4 * 5
    data[at : at + 4] = (int.from_bytes(data[at : at + 4], "little") ^ change).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(SlideError, match="frame 6 is not where its table says"):
        open_slide(dicom)


def test_a_dicom_slide_cut_short_or_beside_a_pipe_is_refused(dicom):
    if hasattr(os, "mkfifo"):
        os.mkfifo(dicom / "pipe")
        for place in (dicom, largest(dicom)):
            with pytest.raises(SlideError, match="'pipe' in it is no regular file"):
                open_slide(place)
        (dicom / "pipe").unlink()
    path = largest(dicom)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SlideError, match="cut short"):
        open_slide(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_reads_through_a_handle_of_its_own(shared):
    with open_slide(shared / "slides/real" / f"{NAME}-dicom") as slide:
        slide.level_pixels(0, (0, 0, 99, 99))
        with slide._planes[0]._handle._lock:
            child = multiprocessing.get_context("fork").Process(
                target=slide.level_pixels, args=(0, (600, 600, 800, 800))
            )
            child.start()
        child.join(60)
        assert child.exitcode == 0


def test_closing_while_others_read_ends_in_a_sentence(shared):
    said: set[str] = set()
    for _ in range(5):
        slide = open_slide(shared / "slides/real" / f"{NAME}-dicom")
        go = threading.Barrier(3)

        def read(slide=slide, go=go) -> None:
            go.wait()
            try:
                for y in range(0, 1500, 300):
                    slide._cache.clear()
                    slide.level_pixels(0, (y, 0, y + 200, 200))
            except SlideError as err:
                said.add("closed" if "was closed" in str(err) else str(err))

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        go.wait()
        slide.close()
        for reader in readers:
            reader.join()
    assert said <= {"closed"}


def test_a_vms_opens_with_its_scale_and_objective(tmp_path):
    with open_slide(write_vms(tmp_path)) as slide:
        info = slide.info
        assert (info.format, info.shape, info.objective) == ("Hamamatsu VMS", (480, 512), 40)
        assert info.mpp == pytest.approx((0.25, 0.25))
        its = slide.level_pixels(0, (0, 0, 480, 512)).astype(int)
        assert np.abs(its - np.asarray(Image.open(tmp_path / "a.jpg"))).max() <= 3


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/passwd", "..\\a.jpg", "pipe"])
def test_a_vms_opens_nothing_but_files_beside_it(tmp_path, name):
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    elif name == "pipe":
        pytest.skip("this system has no named pipes")
    with pytest.raises(SlideError, match="which is none beside it"):
        open_slide(write_vms(tmp_path, ImageFile=name))


def test_a_property_without_a_value_is_left_out(tmp_path, monkeypatch):
    """A flipped bit in a DICOM gave OpenSlide a name that it then did not know."""
    known = openslide.lowlevel.get_property_value
    lacking = "hamamatsu.PhysicalWidth"
    monkeypatch.setattr(
        openslide.lowlevel, "get_property_value", lambda s, name: None if name == lacking else known(s, name)
    )
    with open_slide(write_vms(tmp_path)) as slide:
        assert slide.info.format == "Hamamatsu VMS"


def test_a_size_of_nothing_is_unknown(tmp_path):
    with open_slide(write_vms(tmp_path, PhysicalWidth=0, PhysicalHeight=0, SourceLens=0)) as slide:
        assert (slide.info.mpp, slide.info.objective) == (None, None)


def test_without_openslide_the_extra_is_named(shared, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openslide", None)
    monkeypatch.delitem(sys.modules, "napari_deepheme.slide.openslide_plane", raising=False)
    monkeypatch.delattr("napari_deepheme.slide.openslide_plane", raising=False)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.mrxs", "JPEG")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/Slidedat.ini").write_text("")
    for place in (shared / "slides/real" / f"{NAME}-dicom", tmp_path / "a.mrxs", tmp_path / "a"):
        with pytest.raises(SlideError, match=r"pip install 'napari-deepheme\[openslide\]'"):
            open_slide(place)
