"""Slides behind a web server: what is fetched, and what becomes of a server that fails."""

import pickle

import numpy as np
import pytest
from painted_slides import texture
from painted_zarr import halves, write_zarr
from range_server import serving

from napari_deepheme import AnalysisOptions, drain, open_slide
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.batch import Plan, Status, classify_in_turn
from napari_deepheme.detect.choose import STAIN
from napari_deepheme.errors import SlideError, UnreachableError
from napari_deepheme.slide import remote
from napari_deepheme.slide.fingerprint import fingerprint
from napari_deepheme.slide.location import RemotePath, slide_path, whole
from napari_deepheme.slide.metadata import SlideInfo
from napari_deepheme.slide.remote import RemoteFile
from napari_deepheme.store import AnalysisFile

pytest.importorskip("aiohttp")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(remote, "PATIENCE", 5.0)


@pytest.fixture
def server(smear_path):
    with serving(smear_path.parent) as server:
        yield server


def test_a_remote_slide_is_the_same_slide(server, smear_path):
    with open_slide(server.url("smear.svs")) as there, open_slide(smear_path) as here:
        assert there.info.levels == here.info.levels
        assert fingerprint(there.info) == fingerprint(here.info)
        read = [slide.read((500.0, 600.0), (300, 200), 0.3) for slide in (there, here)]
        copy = pickle.loads(pickle.dumps(there))
        with copy:
            assert (copy.read((500.0, 600.0), (300, 200), 0.3) == read[1]).all()
    np.testing.assert_array_equal(*read)


def test_only_what_is_needed_is_fetched_and_only_once(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 4096)
    with serving(tmp_path) as server:
        file = RemoteFile(RemotePath(server.url("a.bin")))
        server.given.clear()
        assert file.read(300_001, 5000) == (bytes(range(256)) * 21)[225:5225]
        assert file.read(302_000, 1000)[0] == 302_000 % 256
        assert file.read(300_001, 5000)[0] == 300_001 % 256
        assert server.given == [(300_001, 305_001)]
        file.read(10, 2)
        file.read(14, 2)  # small reads, as of directories, share a block
        assert server.given[1:] == [(0, remote.BLOCK)]
        file.close()


@pytest.mark.parametrize("fault", ["drop", "truncate", "503", "429"])
def test_a_request_that_fails_is_made_again(tmp_path, fault):
    (tmp_path / "a.bin").write_bytes(b"x" * 50_000)
    with serving(tmp_path) as server:
        file = RemoteFile(RemotePath(server.url("a.bin")))
        server.faults = [fault, fault]
        assert file.read(10_000, 20_000) == b"x" * 20_000
        assert not server.faults
        file.close()


def test_a_server_that_keeps_failing_is_named_without_the_key_in_the_link(server, smear_path):
    with open_slide(server.url("smear.svs?key=secret")) as slide:
        server.faults = ["truncate"] * 100
        with pytest.raises(
            UnreachableError, match=r"http://127.*/smear.svs: its server failed 3 times"
        ) as fault:
            slide.read((500.0, 600.0), (300, 200), 0.25)
        assert "secret" not in str(fault.value)
        server.faults = []  # no tile is taken for damaged: it is there again as soon as the server is
        with open_slide(smear_path) as here:
            same = slide.read((500.0, 600.0), (300, 200), 0.25) == here.read((500.0, 600.0), (300, 200), 0.25)
        assert same.all()


def test_a_server_that_stalls_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE", 0.3)
    (tmp_path / "a.bin").write_bytes(b"x" * 50_000)
    with serving(tmp_path) as server:
        file = RemoteFile(RemotePath(server.url("a.bin")))
        server.faults = ["stall"] * 3
        with pytest.raises(UnreachableError, match="no answer in time"):
            file.read(10_000, 20_000)
        file.close()


def test_a_server_without_ranges_is_refused(server):
    server.ranges = False
    with pytest.raises(SlideError, match="gives no parts of files"):
        open_slide(server.url("smear.svs"))


def test_what_is_not_there_is_said_at_once(server, smear_path):
    with pytest.raises(SlideError, match=r"other.svs: there is no such file"):
        open_slide(server.url("other.svs"))
    with pytest.raises(SlideError, match=r"other.zarr: there is no OME-Zarr on the server"):
        open_slide(server.url("other.zarr"))
    (smear_path.parent / "field.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(SlideError, match="this is no TIFF"):
        open_slide(server.url("field.png"))


def test_a_server_that_is_not_there_is_said_in_a_sentence(tmp_path):
    with serving(tmp_path) as server:
        url = server.url("a.svs")
    with pytest.raises(UnreachableError, match="its size"):
        open_slide(url)


def test_urls_are_told_from_paths_and_stored_without_their_keys():
    from pydantic import TypeAdapter  # noqa: PLC0415

    place = slide_path("https://me:pass@host.org/a%20b/slide.1.svs?sig=1")
    assert (str(place), place.name, place.stem) == (
        "https://host.org/a%20b/slide.1.svs",
        "slide.1.svs",
        "slide.1",
    )
    assert repr(place) == "RemotePath('https://host.org/a%20b/slide.1.svs')"
    assert whole(place) == "https://me:pass@host.org/a%20b/slide.1.svs?sig=1"
    assert slide_path("C:/a.svs").name == "a.svs"
    info = SlideInfo(place, "", "", (1, 1), (), None, "missing", (), ())
    stored = TypeAdapter(SlideInfo).dump_json(info)
    assert b"sig" not in stored
    assert b"pass" not in stored
    assert TypeAdapter(SlideInfo).validate_json(stored).path == RemotePath(
        "https://host.org/a%20b/slide.1.svs"
    )


def test_a_remote_slide_is_classified_and_what_is_saved_is_named_when_its_server_fails(
    server, tmp_path, toy_bundle, monkeypatch
):
    plan = Plan(tmp_path, options=AnalysisOptions(target_cells=0, detector=STAIN))
    url = server.url("smear.svs?key=secret")
    commit = AnalysisFile.commit

    def failing(self, unit):
        server.faults = ["drop"] * 1000
        monkeypatch.setattr(remote, "HELD_BYTES", 0)
        return commit(self, unit)

    with monkeypatch.context() as patch:
        patch.setattr(AnalysisFile, "commit", failing)
        (row,) = drain(classify_in_turn(Engine(toy_bundle), [url], plan))
    if row.status is Status.FAILED:  # all of so small a slide may have been read ahead
        assert "smear.svs: its server failed" in row.message
        assert "smear.deepheme.db; the same command goes on" in row.message
    server.faults = []
    (row,) = drain(classify_in_turn(Engine(toy_bundle), [url], plan))
    assert (row.status in (Status.DONE, Status.KEPT), row.report["cells"]) == (True, 40)
    assert row.report["slide"].endswith("/smear.svs")
    assert (tmp_path / "smear.cells.csv").exists()


@pytest.mark.parametrize("options", [{"version": "0.4"}, {"version": "0.5", "shards": (1, 1, 1, 256, 192)}])
def test_an_ome_zarr_is_read_where_it_lies(tmp_path, options):
    path = write_zarr(tmp_path / "a.ome.zarr", *halves(texture(640, 512), 2), **options)
    with serving(tmp_path) as server:
        url = server.url("a.ome.zarr/?key=secret")
        with open_slide(url) as there, open_slide(path) as here:
            assert (there.info.levels, there.info.mpp) == (here.info.levels, here.info.mpp)
            assert str(there.info.path).endswith("/a.ome.zarr/")
            assert fingerprint(there.info) == fingerprint(here.info)
            server.faults = ["drop", "503"]
            read = [slide.read((99, 99), (65, 65), 0.25) for slide in (there, here)]
            np.testing.assert_array_equal(*read)
            server.faults = ["404"]  # of a chunk that was never written
            pixels = there.level_pixels(0, (600, 500, 640, 512))
            assert sorted((pixels == 0).all(axis=(0, 1))) == [False, False, True]
            server.faults = ["drop"] * 1000
            with pytest.raises(UnreachableError, match=r"a.ome.zarr/.*: its server failed 3 times") as fault:
                there.read((580, 200), (65, 65), 0.25)
            assert "secret" not in str(fault.value)


def test_a_zarr_of_other_pixels_is_another_slide(tmp_path):
    prints = []
    for name, pixels in (("a", texture(640, 512)), ("b", texture(640, 512)[::-1])):
        with open_slide(write_zarr(tmp_path / f"{name}.zarr", *halves(pixels, 2))) as slide:
            prints.append(fingerprint(slide.info))
    assert prints[0] != prints[1]


@pytest.mark.parametrize("url", ["http://me:secret@[::1/a.svs", "https:///a.svs?key=secret", "s3://"])
def test_what_only_begins_as_a_url_is_refused_without_showing_its_keys(url):
    with pytest.raises(SlideError, match="names no host or bucket") as fault:
        slide_path(url)
    assert "secret" not in str(fault.value)
