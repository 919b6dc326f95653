"""Tiles whose decoder failed or complained are told of when they are analysed, and shown when looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from imagecodecs import jpeg2k_encode, jpeg_encode
from painted_slides import texture, write_tiff

from napari_deepheme.errors import DamagedTileError, SlideError
from napari_deepheme.slide import Damaged, open_slide
from napari_deepheme.slide.jpeg2000 import complaint

FULL = texture(640, 512)
TILE = 6
"""Of tiles of 128 px: row 1, column 2."""
INSIDE, BESIDE = ((191.5, 319.5), (64, 64), (1, 1)), ((60, 60), (64, 64), (1, 1))


def damage(path: Path, how, tile: int = TILE) -> None:
    """Change the bytes of one tile, not their number."""
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[tile], tiff.pages[0].databytecounts[tile]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = how(bytes(data[offset : offset + count]))
    path.write_bytes(data)


def dry(data: bytes) -> bytes:
    """The image ends after a third of its data."""
    third = len(data) // 3
    return data[:third] + b"\xff\xd9" + b"\0" * (len(data) - third - 2)


def lost(data: bytes) -> bytes:
    """Some bytes in the middle are others."""
    half = len(data) // 2
    return data[:half] + bytes(b ^ 0x15 for b in data[half : half + 12]) + data[half + 12 :]


def other_end(data: bytes) -> bytes:
    """The last third is of another file."""
    third = len(data) // 3
    return data[:-third] + b"\x55" * third


def longer(data: bytes) -> bytes:
    """A code is another, whose text is longer: all that follows moves on, and some is left over."""
    fifth = len(data) // 5
    return data[:fifth] + bytes([data[fifth] ^ 0x15]) + data[fifth + 1 :]


def marked(data: bytes) -> bytes:
    """A marker lies where none can be."""
    half = len(data) // 2
    return data[:half] + b"\xff\xb7" + data[half + 2 :]


def test_sound_jpeg_2000_of_every_shape_is_not_complained_of():
    options = ({}, {"level": 30}, {"codecformat": "jp2"}, {"reversible": True})
    for side, chosen in zip((8, 130, 64, 300), options, strict=True):
        assert complaint(jpeg2k_encode(FULL[:side, :side], **chosen)) == ""
    whole = jpeg2k_encode(FULL)
    assert complaint(whole + b"\0") == ""  # filled up to an even length
    assert "end" in complaint(whole[:-2])


@pytest.mark.parametrize(
    ("compression", "how"),
    [
        ("jpeg2000", other_end),
        ("jpeg2000", marked),
        ("lzw", longer),
        ("lzw", other_end),
        ("packbits", other_end),
        ("jpeg", dry),
        ("jpeg", lost),
        ("webp", lost),
        ("deflate", lost),
        ("png", lost),
        ("lzw", dry),
    ],
)
def test_a_damaged_tile_is_raised_when_read_and_shown_when_looked_at(tmp_path, compression, how):
    path = write_tiff(tmp_path / "a.tif", FULL, compression=compression)
    with open_slide(path) as slide:
        whole = slide.pyramid()[0].compute()
    damage(path, how)
    with open_slide(path) as slide:
        assert slide.read_downsampled(*BESIDE).shape == (64, 64, 3)
        with pytest.raises(DamagedTileError, match=r"a\.tif: tile \(1, 2\) of level 0 is damaged") as caught:
            slide.read_downsampled(*INSIDE)
        assert "\n" not in str(caught.value)
        shown = slide.pyramid()[0].compute()
        assert np.array_equal(slide.read_downsampled(*INSIDE, damaged=Damaged.SHOW), shown[160:224, 288:352])
        assert slide.damage(0, (0, 0, 128, 128)) == ""
        assert "tile (1, 2)" in slide.damage(0, (0, 0, 640, 512))
    different = np.argwhere((shown != whole).any(axis=2))
    assert len(different)
    assert (different.min(axis=0) >= [128, 256]).all()
    assert (different.max(axis=0) < [256, 384]).all()


def test_damage_shows_through_resolutions_that_are_computed(tmp_path):
    path = write_tiff(tmp_path / "a.tif", texture(1400, 1400), compression="jpeg")
    damage(path, dry)
    with open_slide(path) as slide:
        with pytest.raises(DamagedTileError, match=r"tile \(0, 6\) of level 0"):
            slide.read_downsampled((64, 832), (32, 32), (2, 2))
        assert slide.read_downsampled((1000, 200), (32, 32), (2, 2)).shape == (32, 32, 3)
        assert slide.overview(400)[0].shape == (400, 400, 3)


def test_one_damaged_tile_does_not_cost_the_slide_but_nothing_readable_does(tmp_path):
    path = write_tiff(tmp_path / "a.tif", FULL, compression="jpeg")
    damage(path, lambda data: b"\x55" * len(data), tile=0)
    open_slide(path).close()
    for tile in range(20):
        damage(path, lambda data: b"\x55" * len(data), tile)
    with pytest.raises(SlideError, match="none of its tiles can be decoded"):
        open_slide(path)


def test_a_tile_whose_header_claims_another_size_is_not_decoded(tmp_path):
    """Its pixels would take 12 GB."""
    huge = bytearray(jpeg_encode(FULL[:128, :128], level=90))
    at = huge.index(b"\xff\xc0")
    huge[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    tiles = [jpeg_encode(FULL[:128, :128], level=90), bytes(huge)] * 2
    path = tmp_path / "a.tif"
    options = {"shape": (256, 256, 3), "dtype": "uint8", "tile": (128, 128), "photometric": "ycbcr"}
    tifffile.imwrite(path, iter(tiles), compression="jpeg", **options)
    with open_slide(path) as slide, pytest.raises(DamagedTileError, match="header claims 65535 × 65535 px"):
        slide.read_downsampled((64, 192), (32, 32), (1, 1))
