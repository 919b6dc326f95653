"""What a laboratory's scanner writes must open, in its own colours, or be refused in one clear sentence."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from imagecodecs import jpeg2k_encode
from painted_slides import texture, write_tiff

from napari_deepheme.errors import DamagedTileError, SlideError
from napari_deepheme.slide import open_slide
from napari_deepheme.slide.jpeg2000 import rgb_from_aperio

FULL, HALF, SMALL = texture(640, 512), texture(320, 256, seed=1), texture(100, 80, seed=2)

APERIO = (
    "Aperio Image Library v12.0.15\n512x640 [0,0 512x640] (128x128) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2520"
)
PHILIPS = (
    '<?xml version="1.0" ?><DataObject ObjectType="DPUfsImport"><Attribute Name="S"><Array>'
    + "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        f'<Attribute Name="DICOM_PIXEL_SPACING">"{mm}" "{mm}"</Attribute></DataObject>'
        for mm in ("0.00025", "0.0005")
    )
    + "</Array></Attribute></DataObject>"
)
SCN = (
    '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection>'
    '<image name="overview"><pixels sizeX="80" sizeY="100"><dimension sizeX="80" sizeY="100" r="0" ifd="2"/>'
    '</pixels><view sizeX="80000" sizeY="100000"/></image>'
    '<image name="main"><pixels sizeX="512" sizeY="640">'
    '<dimension sizeX="512" sizeY="640" r="0" ifd="0"/><dimension sizeX="256" sizeY="320" r="1" ifd="1"/>'
    '</pixels><view sizeX="128000" sizeY="160000"/><scanSettings><objectiveSettings>'
    "<objective>40</objective></objectiveSettings></scanSettings></image></collection></scn>"
)


def write_pages(path, *pages, **common):
    """Pages of (pixels, options), as a scanner's own writer would put them one after the other."""
    common = {"photometric": "rgb", "compression": "deflate", "metadata": None} | common
    with tifffile.TiffWriter(path, ome=False) as writer:
        for pixels, options in pages:
            writer.write(pixels, **{**common, "tile": (128, 128), **options})
    return path


def aperio(path):
    return write_pages(
        path,
        (FULL, {"description": APERIO}),
        (SMALL, {"tile": None, "description": "Aperio\n80x100"}),
        (HALF, {"description": "Aperio\n256x320"}),
        (SMALL, {"tile": None, "subfiletype": 1, "description": "Aperio\nlabel 80x100"}),
        (SMALL[:50], {"tile": None, "subfiletype": 9, "description": "Aperio\nmacro 80x50"}),
    )


def hamamatsu(path):
    ndpi = [(65420, "I", 1, 1, True), (271, "s", 0, "Hamamatsu", True)]
    scale = {"resolutionunit": "CENTIMETER"}
    return write_pages(
        path,
        (FULL, {"resolution": (40000, 40000), "extratags": [*ndpi, (65421, "f", 1, 40.0, True)], **scale}),
        (HALF, {"resolution": (20000, 20000), "extratags": [*ndpi, (65421, "f", 1, 20.0, True)], **scale}),
        (SMALL, {"tile": None, "extratags": [*ndpi, (65421, "f", 1, -1.0, True)]}),
    )


def leica(path):
    return write_pages(path, (FULL, {"description": SCN}), (HALF, {}), (SMALL, {}))


def ventana(path):
    said = b"<iScan Magnification='40' ScanRes='0.25'/>"
    xmp = (700, "B", len(said), said, True)
    return write_pages(
        path,
        (SMALL, {"description": "Label Image", "tile": None, "extratags": [xmp], "software": "Ventana"}),
        (FULL, {"description": "level=0 mag=40 quality=90", "extratags": [xmp]}),
        (HALF, {"description": "level=1 mag=20 quality=90"}),
    )


def philips(path):
    return write_pages(
        path,
        (FULL, {"description": PHILIPS, "software": "Philips DP v1.0"}),
        (HALF, {}),
        (SMALL, {"tile": None, "description": "Macro"}),
        (SMALL, {"tile": None, "description": "Label"}),
    )


def qptiff(path):
    root = "PerkinElmer-QPI-ImageDescription"
    xml = f"<{root}><X><Objective>40x</Objective><PixelSizeMicrons>0.25</PixelSizeMicrons></X></{root}>"
    return write_pages(
        path,
        (FULL, {"description": xml, "software": "PerkinElmer-QPI"}),
        (SMALL, {"tile": None}),
        (HALF, {}),
        (SMALL[:50], {"tile": None}),
        (SMALL[:60], {"tile": None}),
    )


def ome(path):
    options = {"photometric": "rgb", "tile": (128, 128), "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        size = {
            "PhysicalSizeX": 250,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.25,
            "PhysicalSizeYUnit": "µm",
        }
        writer.write(FULL, subifds=1, metadata={"axes": "YXS", **size}, **options)
        writer.write(HALF, subfiletype=1, **options)
    return path


def subifds(path):
    options = {"photometric": "rgb", "tile": (128, 128), "compression": "deflate", "metadata": None}
    scale = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(FULL, subifds=1, **scale, **options)
        writer.write(HALF, subfiletype=1, **options)
    return path


def pages(path):
    return write_tiff(path, FULL, HALF, resolution=(40000, 40000), resolutionunit="CENTIMETER")


VENDORS = [
    ("Aperio SVS", aperio, "Aperio MPP tag", ("thumbnail", "label", "macro")),
    ("Hamamatsu NDPI", hamamatsu, "Hamamatsu resolution tags", ("macro",)),
    ("Leica SCN", leica, "Leica SCN view size", ("macro",)),
    ("Ventana BIF", ventana, "Ventana ScanRes", ("label",)),
    ("Philips TIFF", philips, "Philips DICOM_PIXEL_SPACING", ("macro", "label")),
    ("PerkinElmer QPTIFF", qptiff, "QPTIFF PixelSizeMicrons", ("thumbnail", "macro", "label")),
    ("OME-TIFF", ome, "OME-XML PhysicalSize", ()),
    ("TIFF", subifds, "TIFF resolution tags", ()),
    ("TIFF", pages, "TIFF resolution tags", ()),
]

MAGNIFIED = ("Aperio SVS", "Hamamatsu NDPI", "Leica SCN", "Ventana BIF", "PerkinElmer QPTIFF")


@pytest.mark.parametrize(
    ("name", "write", "source", "associated"), VENDORS, ids=[v[1].__name__ for v in VENDORS]
)
def test_every_vendor_opens_with_levels_scale_and_label(tmp_path, name, write, source, associated):
    with open_slide(write(tmp_path / "slide.tif")) as slide:
        info = slide.info
        assert (info.format, info.shape) == (name, (640, 512))
        assert [level.shape for level in info.levels] == [(640, 512), (320, 256)]
        assert info.mpp == pytest.approx((0.252, 0.252) if write is aperio else (0.25, 0.25))
        assert info.mpp_source == source
        assert info.associated == associated
        assert np.array_equal(slide.pyramid()[0].compute(), FULL)
        assert np.array_equal(slide.pyramid()[1].compute(), HALF)
        assert info.objective == (40 if name in MAGNIFIED else None)
        for each in associated:
            assert slide.associated_image(each).shape[1:] == (80, 3)


def test_imagej_states_its_unit_apart(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FULL, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    with open_slide(path) as slide:
        assert (slide.info.format, slide.info.mpp) == ("ImageJ TIFF", (0.25, 0.25))
        assert np.array_equal(slide.pyramid()[0].compute(), FULL)


@pytest.mark.parametrize("compression", ["jpeg", "lzw", "deflate", "jpeg2000", "webp", "zstd", None])
@pytest.mark.parametrize("tile", [(128, 128), None])
def test_colours_are_those_tifffile_decodes(tmp_path, compression, tile):
    path = write_tiff(tmp_path / "a.tif", FULL[:333], tile=tile, compression=compression)
    with open_slide(path) as slide:
        pixels = slide.pyramid()[0].compute()
    assert np.array_equal(pixels, tifffile.imread(path))
    assert np.abs(pixels.astype(int) - FULL[:333]).mean() < 12


@pytest.mark.parametrize("rows", [7, 640])
def test_planes_of_colour_stored_apart_come_together(tmp_path, rows):
    planes = np.ascontiguousarray(FULL.transpose(2, 0, 1))
    path = write_tiff(tmp_path / "a.tif", planes, planarconfig="separate", tile=None, rowsperstrip=rows)
    with open_slide(path) as slide:
        assert np.array_equal(slide.pyramid()[0].compute(), FULL)


def test_alpha_is_dropped_and_grey_becomes_rgb(tmp_path):
    alpha = np.dstack([FULL, np.zeros(FULL.shape[:2], np.uint8)])
    with open_slide(write_tiff(tmp_path / "a.tif", alpha, extrasamples=["unassalpha"])) as slide:
        assert np.array_equal(slide.pyramid()[0].compute(), FULL)
    for photometric, expected in (("minisblack", FULL), ("miniswhite", 255 - FULL)):
        with open_slide(write_tiff(tmp_path / "g.tif", FULL[..., 0], photometric=photometric)) as slide:
            assert np.array_equal(slide.pyramid()[0].compute(), np.repeat(expected[..., :1], 3, axis=2))


def test_tiles_the_scanner_left_out_are_white(tmp_path):
    tiles = iter([b"\xff" * (128 * 128 * 3), b"", b"\x40" * (128 * 128 * 3), b""])
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tiles, shape=(256, 256, 3), dtype="uint8", tile=(128, 128), photometric="rgb")
    with open_slide(path) as slide:
        pixels = slide.pyramid()[0].compute()
    assert (pixels[:, 128:] == 255).all()
    assert (pixels[128:, :128] == 0x40).all()


def test_several_planes_are_told_of(tmp_path):
    stack = np.stack([texture(256, 256, seed) for seed in range(3)])
    path = tmp_path / "z.ome.tif"
    tifffile.imwrite(path, stack, ome=True, photometric="rgb", tile=(128, 128), metadata={"axes": "ZYXS"})
    with open_slide(path) as slide:
        assert slide.info.warnings == ("The file holds several planes (Z 3); only the first is used",)
        assert np.array_equal(slide.pyramid()[0].compute(), stack[0])


@pytest.mark.parametrize(
    ("pixels", "options", "seen"),
    [
        (FULL.astype(np.uint16), {"photometric": "rgb"}, "16-bit"),
        (FULL[..., 0].astype(np.float32), {}, "32-bit"),
        (FULL[..., 0] > 99, {}, "1-bit"),
        (np.stack([FULL[..., 0]] * 4), {"ome": True, "metadata": {"axes": "CYX"}}, "4 separate channels"),
        (
            FULL[..., 0],
            {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)},
            "palette|PALETTE",
        ),
    ],
)
def test_what_is_not_brightfield_is_refused_with_a_remedy(tmp_path, pixels, options, seen):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **options})
    with pytest.raises(SlideError, match=rf"a\.tif: expected an 8-bit RGB.*{seen}.*export"):
        open_slide(path)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.98])
@pytest.mark.parametrize("write", [pages, aperio, subifds, ome])
def test_a_copy_cut_short_is_refused_at_opening(tmp_path, write, kept):
    """Not after an hour of analysis, at the first missing tile."""
    path = write(tmp_path / "slide.tif")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(SlideError, match=r"slide\.tif.*copy it again"):
        open_slide(path)


def test_an_uncompressed_copy_cut_short_is_refused_too(tmp_path):
    path = write_tiff(tmp_path / "a.tif", FULL, compression=None, tile=None)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SlideError, match="cut short"):
        open_slide(path)


def test_a_damaged_tile_names_itself(tmp_path):
    path = write_tiff(tmp_path / "a.tif", FULL)
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[6], tiff.pages[0].databytecounts[6]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"\x55" * count
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert slide.read_downsampled((60, 60), (32, 32), (1, 1)).shape == (32, 32, 3)
        with pytest.raises(DamagedTileError, match=r"tile \(1, 2\) of level 0 is damaged") as caught:
            slide.read_downsampled((200, 300), (32, 32), (1, 1))
    assert "\n" not in str(caught.value)


def test_one_huge_strip_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_deepheme.slide.tiff_plane.MAX_SEGMENT_BYTES", 10**5)
    path = write_tiff(tmp_path / "a.tif", FULL, tile=None, rowsperstrip=640)
    with pytest.raises(SlideError, match=r"strips of 640 × 512 px.*vips"):
        open_slide(path)
    with open_slide(
        write_tiff(tmp_path / "b.tif", FULL, tile=None, compression=None, rowsperstrip=640)
    ) as slide:
        assert np.array_equal(slide.pyramid()[0].compute(), FULL)  # uncompressed, any rows can be read


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\x08\0\0\0", b"MM\0*" + b"\xff" * 60])
def test_a_stub_of_a_tiff_is_refused(tmp_path, content, caplog):
    path = tmp_path / "a.svs"
    path.write_bytes(content)
    with pytest.raises(SlideError, match=r"a\.svs"):
        open_slide(path)
    assert not caplog.records, "tifffile's log must not reach the user"


def test_what_is_no_slide_is_told_what_would_be(tmp_path):
    (tmp_path / "a.svs").write_text("Dear pathologist, the slide is in the post.")
    with pytest.raises(SlideError, match="not a slide or picture; expected Aperio SVS"):
        open_slide(tmp_path / "a.svs")
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM rest")
    with pytest.raises(SlideError, match="DICOM"):
        open_slide(tmp_path / "a.dcm")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SlideError, match="this folder is no OME-Zarr"):
        open_slide(tmp_path / "folder")
    with pytest.raises(SlideError, match=r"missing\.svs: cannot be read.*check the path"):
        open_slide(tmp_path / "missing.svs")


def test_aperio_jpeg2000_without_subsampling_is_turned_to_rgb():
    red = np.zeros((64, 64, 3), np.uint8) + np.array([76, 85, 255], np.uint8)  # pure red in YCbCr
    data = jpeg2k_encode(red, level=0, codecformat="j2k", mct=False)
    assert np.abs(rgb_from_aperio(data, red).astype(int) - [255, 0, 0]).max() <= 2
    transformed = jpeg2k_encode(red, level=0, codecformat="j2k", mct=True)
    assert rgb_from_aperio(transformed, red) is red


@pytest.mark.parametrize(
    ("name", "mpp", "associated"),
    [
        ("real/CMU-1-Small-Region.svs", (0.499, 0.499), ("thumbnail", "label", "macro")),
        ("real/tcga-no-mpp-jpeg2000.svs", None, ("thumbnail",)),
        ("real/HE_example.ome.tif", (0.50008, 0.50008), ()),
        ("mosaic/blood_100x.svs", (0.1, 0.1), ("thumbnail",)),
    ],
)
def test_real_slides_read_as_tifffile_reads_them(shared, name, mpp, associated):
    path = shared / "slides" / name
    with open_slide(path) as slide, tifffile.TiffFile(path) as tiff:
        assert slide.info.mpp == (mpp and pytest.approx(mpp, rel=1e-4))
        assert slide.info.associated == associated
        for level, expected in enumerate(tiff.series[0].levels):
            assert np.array_equal(slide.pyramid()[level].compute(), expected.asarray())
        for expected in tiff.series[1:]:
            assert np.array_equal(slide.associated_image(expected.name.lower()), expected.asarray())
