"""Fields of view come as PNG or JPEG: whole, damaged, or with a density that means nothing."""

from __future__ import annotations

import struct
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
import tifffile
from painted_slides import texture
from PIL import Image

from napari_deepheme.errors import SlideError
from napari_deepheme.slide import open_slide

FIELD = texture(300, 400)


def test_a_field_opens_with_its_pixels_and_no_scale(tmp_path):
    Image.fromarray(FIELD).save(tmp_path / "field.png")
    with open_slide(tmp_path / "field.png") as slide:
        assert (slide.info.format, slide.info.mpp, slide.info.levels[0].shape) == ("PNG", None, (300, 400))
        assert np.array_equal(slide.pyramid()[0].compute(), FIELD)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_every_8_bit_mode_comes_out_as_rgb(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(FIELD).convert(mode).save(path)
    with open_slide(path) as slide:
        assert slide.pyramid()[0].compute().shape == (300, 400, 3)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("dpi", [72, 96, 300])
def test_a_print_resolution_is_not_taken_for_a_scale(tmp_path, suffix, dpi):
    Image.fromarray(FIELD).save(tmp_path / f"a.{suffix}", dpi=(dpi, dpi))
    with open_slide(tmp_path / f"a.{suffix}") as slide:
        assert (slide.info.mpp, slide.info.mpp_source, slide.info.warnings) == (None, "missing", ())


def test_a_density_that_can_be_a_scale_is_believed(tmp_path):
    Image.fromarray(FIELD).save(tmp_path / "a.png", dpi=(101600, 101600))
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.info.mpp == pytest.approx((0.25, 0.25), rel=1e-3)
        assert slide.info.mpp_source == "PNG pHYs chunk"


def test_a_16_bit_grey_picture_is_refused(tmp_path):
    Image.fromarray(FIELD[..., 0].astype(np.uint16) * 200).save(tmp_path / "a.png")
    with pytest.raises(SlideError, match="expected an 8-bit"):
        open_slide(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_picture_to_be_turned_is_read_as_stored_with_a_warning(tmp_path, suffix):
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, FIELD, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    else:
        Image.fromarray(FIELD).save(path, exif=exif)
    with open_slide(path) as slide:
        assert slide.info.shape == (300, 400)
        assert [said[:25] for said in slide.info.warnings] == ["Its orientation tag (6) a"]


def test_16_bits_of_colour_are_refused_and_not_called_damage(tmp_path):
    deep = FIELD.astype(np.uint16) * 200
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(deep))
    for name in ("a.png", "a.jp2"):
        with pytest.raises(SlideError, match=r"expected an 8-bit colour .* got .*16.*; export"):
            open_slide(tmp_path / name)


@pytest.mark.parametrize(
    "data",
    [
        imagecodecs.jpegls_encode(FIELD),
        imagecodecs.jpeg_encode(FIELD.astype(np.uint16) * 16, bitspersample=12),
    ],
    ids=["JPEG-LS", "12 bits"],
)
def test_kinds_of_jpeg_that_are_not_read_are_named(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(SlideError, match=r"a\.jpg: a JPEG of kind 0x.* expected baseline .* 8 bits; export"):
        open_slide(tmp_path / "a.jpg")


def test_a_picture_too_large_to_decode_whole_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_deepheme.slide.picture.MAX_PIXELS", 10**5)
    Image.fromarray(FIELD).save(tmp_path / "a.png")
    with pytest.raises(SlideError, match=r"megapixels.*vips"):
        open_slide(tmp_path / "a.png")


def test_a_stitched_field_of_100_megapixels_opens_without_alarm(tmp_path):
    """Pillow takes such a picture for an attack and warns."""
    Image.new("L", (10000, 10000), 200).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.info.shape == (10000, 10000)


@pytest.mark.parametrize("kept", [0.001, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_picture_cut_short_is_refused(tmp_path, suffix, kept):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(FIELD).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: max(12, int(kept * len(data)))])
    with pytest.raises(SlideError, match=rf"the {'PNG' if suffix == 'png' else 'JPEG'} is damaged") as caught:
        open_slide(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lost_data_in_its_middle_is_refused(tmp_path, progressive):
    """libjpeg fills what is missing with grey and goes on."""
    file = BytesIO()
    Image.fromarray(FIELD).save(file, "JPEG", quality=95, progressive=progressive)
    data = file.getvalue()
    whole, broken = tmp_path / "whole.jpg", tmp_path / "broken.jpg"
    whole.write_bytes(data)
    open_slide(whole).close()
    broken.write_bytes(data[: -len(data) // 3] + b"\xff\xd9")
    with pytest.raises(SlideError, match="JPEG is damaged"):
        open_slide(broken)


def smooth_field():
    y, x = np.mgrid[:300, :400]
    field = np.dstack([120 + 60 * np.sin(y / 23 + x / 31 + c) for c in range(3)])
    return (field + np.random.default_rng(0).normal(0, 3, field.shape)).clip(0, 255).astype(np.uint8)


def test_a_jpeg_that_slipped_opens_with_a_warning(tmp_path):
    """A byte lost long ago and saved again: valid to every decoder, a cell displaced to every eye."""
    field = smooth_field()
    slipped = field.copy()
    slipped[112:] = np.roll(field[112:], 170, axis=1)
    slipped[96:112, 120:] = np.random.default_rng(1).integers(0, 255, (2, 35, 3)).repeat(8, 0).repeat(8, 1)
    Image.fromarray(field).save(tmp_path / "good.jpg", quality=95)
    Image.fromarray(slipped).save(tmp_path / "bad.jpg", quality=95)
    with open_slide(tmp_path / "good.jpg") as slide:
        assert not slide.info.warnings
    with open_slide(tmp_path / "bad.jpg") as slide:
        assert "may be damaged: at line 96" in slide.info.warnings[0]


def test_a_contact_sheet_is_not_taken_for_damage(tmp_path):
    cells = [np.roll(smooth_field()[:96, :96], 30 * k, axis=(0, 1)) for k in range(12)]
    for gutter in (0, 8, 16):
        sheet = np.full((3 * (96 + gutter), 4 * (96 + gutter), 3), 255, np.uint8)
        for k, cell in enumerate(cells):
            top, left = k // 4 * (96 + gutter), k % 4 * (96 + gutter)
            sheet[top : top + 96, left : left + 96] = cell
        Image.fromarray(sheet).save(tmp_path / "sheet.jpg", quality=95)
        open_slide(tmp_path / "sheet.jpg").close()


@pytest.mark.parametrize("quality", [5, 20])
def test_a_coarsely_compressed_field_is_not_taken_for_damage(tmp_path, quality):
    Image.fromarray(smooth_field()).save(tmp_path / "coarse.jpg", quality=quality)
    open_slide(tmp_path / "coarse.jpg").close()


@pytest.mark.parametrize("suffix", ["jp2", "webp", "bmp"])
def test_other_formats_of_cameras_are_read_whatever_their_name(tmp_path, suffix):
    path = tmp_path / f"field.{suffix}"
    options = {"jp2": {}, "webp": {"lossless": True}, "bmp": {}}[suffix]
    Image.fromarray(FIELD).save(path, **options)
    renamed = path.rename(tmp_path / "field.tif")
    with open_slide(renamed) as slide:
        assert np.array_equal(slide.pyramid()[0].compute(), FIELD)
        assert slide.info.format == {"jp2": "JPEG 2000", "webp": "WebP", "bmp": "BMP"}[suffix]
    data = renamed.read_bytes()
    renamed.write_bytes(data[: len(data) // 2])
    with pytest.raises(SlideError, match="is damaged"):
        open_slide(renamed)


def test_a_header_that_claims_more_than_the_file_holds_costs_no_memory(tmp_path):
    file = BytesIO()
    Image.fromarray(FIELD).save(file, "JPEG")
    data = bytearray(file.getvalue())
    at = data.index(b"\xff\xc0")
    for size, said in (((20000, 19000), "380 megapixels"), ((9000, 9000), "cannot hold")):
        data[at + 5 : at + 9] = struct.pack(">HH", *size)
        (tmp_path / "a.jpg").write_bytes(data)
        with pytest.raises(SlideError, match=said):
            open_slide(tmp_path / "a.jpg")
    Image.new("1", (20000, 19500)).save(tmp_path / "a.png")
    with pytest.raises(SlideError, match="390 megapixels"):
        open_slide(tmp_path / "a.png")


def test_the_damaged_files_of_the_munich_set_open_with_a_warning(shared):
    """Their decoder has nothing to complain of."""
    paths = sorted((shared / "munich/corrupt_jpeg").glob("*.jpg"))
    assert len(paths) == 8
    for path in paths:
        with open_slide(path) as slide:
            assert "may be damaged" in " ".join(slide.info.warnings)


def test_no_good_picture_is_refused_or_doubted(shared):
    folders = [shared / "munich/ART", *sorted((shared / "pbc/val").iterdir()), shared / "fields/bccd"]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.jpg"))[:15]]
    assert len(paths) > 100
    for path in paths:
        with open_slide(path) as slide:
            assert not slide.info.warnings
