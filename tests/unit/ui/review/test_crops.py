"""Crops from a real file, on the reader's thread."""

from __future__ import annotations

import threading
from queue import Queue

import numpy as np
import pytest

from napari_deepheme.errors import SlideError
from napari_deepheme.slide import open_slide
from napari_deepheme.ui.review.crops import CROP_PX, CropReader, CropRequest

PATIENCE = 60


@pytest.fixture
def made():
    readers = []

    def make(open_file, downsample=(1.0, 1.0), max_bytes=2**20):
        ready = Queue()
        readers.append(CropReader(open_file, downsample, ready.put, max_bytes))
        return readers[-1], ready

    yield make
    for reader in readers:
        reader.close()
    assert not [each for each in threading.enumerate() if each.name == "deepheme-crops"]


def test_a_crop_is_what_the_file_has_there(made, smear_path):
    reader, ready = made(lambda: open_slide(smear_path))
    request = CropRequest(700.0, 600.0)
    assert reader.get(request) is None
    assert ready.get(timeout=PATIENCE) == request
    with open_slide(smear_path) as slide:
        np.testing.assert_array_equal(reader.get(request), slide.read((700, 600), (CROP_PX, CROP_PX), 0.25))
    reader.get(CropRequest(700.0, 600.0, wide=True))
    wide = reader.get(ready.get(timeout=PATIENCE))
    assert wide.shape == (288, 288, 3)
    np.testing.assert_array_equal(wide[96:192, 96:192], reader.get(request))


def test_the_newest_request_is_read_first(made, smear_path):
    begin = threading.Event()

    def open_late():
        begin.wait(PATIENCE)
        return open_slide(smear_path)

    reader, ready = made(open_late)
    requests = [CropRequest(float(y), 300.0) for y in (100, 200, 300)]
    for request in requests:
        reader.get(request)
    reader.get(requests[0])  # asked for again: newest
    begin.set()
    assert [ready.get(timeout=PATIENCE) for _ in requests] == [requests[0], requests[2], requests[1]]


def test_what_is_kept_stays_within_its_bytes_and_the_oldest_goes(made, smear_path):
    one = CROP_PX * CROP_PX * 3
    reader, ready = made(lambda: open_slide(smear_path), max_bytes=3 * one)
    requests = [CropRequest(float(y), 300.0) for y in range(100, 600, 100)]
    for request in requests:
        reader.get(request)
        ready.get(timeout=PATIENCE)
    assert reader.n_bytes == 3 * one
    assert [reader.get(each) is not None for each in requests[2:]] == [True] * 3
    assert reader.get(requests[0]) is None


def test_a_file_that_is_gone_is_said_for_each_crop(made, tmp_path):
    reader, ready = made(lambda: open_slide(tmp_path / "gone.svs"))
    for y in (1.0, 2.0):
        reader.get(CropRequest(y, 1.0))
        answer = reader.get(ready.get(timeout=PATIENCE))
        assert isinstance(answer, SlideError)
        assert "gone.svs" in str(answer)


def test_a_closed_reader_reads_no_more(made, smear_path):
    reader, ready = made(lambda: open_slide(smear_path))
    reader.get(CropRequest(100.0, 100.0))
    ready.get(timeout=PATIENCE)
    reader.close()
    assert reader.get(CropRequest(100.0, 100.0)) is None
    assert reader.n_bytes == 0
