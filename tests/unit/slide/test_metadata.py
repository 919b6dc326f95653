"""The µm/px decides the size of every crop: a wrong or invented value ruins a whole analysis."""

import pytest

from napari_deepheme.slide.metadata import (
    JPEG_DENSITY,
    RESOLUTION_TAGS,
    aperio_spacing,
    checked_spacing,
    leica_spacing,
    ome_spacing,
    philips_spacing,
    qptiff_spacing,
    ventana_spacing,
)

OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Image ID="Image:0"><Pixels SizeX="300" SizeY="200" PhysicalSizeX="9" PhysicalSizeY="9"/></Image>
<Image ID="Image:1"><Pixels SizeX="3000" SizeY="2000" {size}/></Image></OME>"""

SCN = """<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection>
<image name="macro"><pixels sizeX="1616" sizeY="4668"/><view sizeX="26564529" sizeY="76734529"/></image>
<image name="main"><pixels sizeX="4000" sizeY="2000"/><view sizeX="1000000" sizeY="500200"/></image>
</collection></scn>"""

PHILIPS = """<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">
<Attribute Name="DICOM_PIXEL_SPACING">"9" "9"</Attribute>
<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">
<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>
<DataObject ObjectType="PixelDataRepresentation">
<Attribute Name="DICOM_PIXEL_SPACING">"0.000227" "0.000226"</Attribute></DataObject>
<DataObject ObjectType="PixelDataRepresentation">
<Attribute Name="DICOM_PIXEL_SPACING">"0.000454" "0.000452"</Attribute></DataObject>
</Array></Attribute></DataObject></Array></Attribute></DataObject>"""


@pytest.mark.parametrize(
    ("spacing", "mpp"),
    [
        (aperio_spacing("Aperio Image Library v12\n9x9|AppMag = 40|MPP = 0.2520|Left = 1"), (0.252, 0.252)),
        (aperio_spacing("Aperio Image Library v12\n9x9|AppMag = 40|MPP=0.2520"), (0.252, 0.252)),
        (ome_spacing(OME.format(size='PhysicalSizeX="0.5" PhysicalSizeY="0.25"'), (2000, 3000)), (0.25, 0.5)),
        (
            ome_spacing(
                OME.format(
                    size='PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="2.5e-4" '
                    'PhysicalSizeYUnit="mm"'
                ),
                (2000, 3000),
            ),
            (0.25, 0.25),
        ),
        (ome_spacing(OME.format(size='PhysicalSizeX="0.5"'), (2000, 3000)), (0.5, 0.5)),
        (leica_spacing(SCN, (2000, 4000)), (0.2501, 0.25)),
        (
            ventana_spacing("<Metadata><iScan Magnification=\"40\" ScanRes='0.2325'/></Metadata>"),
            (0.2325,) * 2,
        ),
        (philips_spacing(PHILIPS), (0.227, 0.226)),
        (qptiff_spacing("<X><PixelSizeMicrons>0.4963</PixelSizeMicrons></X>"), (0.4963, 0.4963)),
    ],
)
def test_each_vendor_states_its_scale_in_its_own_words(spacing, mpp):
    assert spacing[0] == pytest.approx(mpp)
    assert spacing[1] != "missing"


@pytest.mark.parametrize(
    "spacing",
    [
        aperio_spacing("Aperio Image Library v11\n4443x3567 J2K/KDU Q=70"),
        aperio_spacing("Aperio Image Library|MPP = unknown|AppMag = 20"),
        aperio_spacing("Aperio Image Library|MPP = 0"),
        ome_spacing(OME.format(size=""), (2000, 3000)),
        ome_spacing(OME.format(size='PhysicalSizeX="1" PhysicalSizeXUnit="pixel"'), (2000, 3000)),
        ome_spacing("<OME><not closed", (2000, 3000)),
        leica_spacing(SCN, (1, 1)),
        ventana_spacing("<iScan/>"),
        philips_spacing("<DataObject/>"),
        qptiff_spacing(""),
    ],
)
def test_a_scale_that_is_not_stated_is_not_guessed(spacing):
    assert spacing == (None, "missing")


def test_an_implausible_tag_is_named_and_not_used():
    spacing, (warning,) = checked_spacing(((250.0, 250.0), "Aperio MPP tag"))
    assert spacing == (None, "missing")
    assert "250" in warning
    assert "Aperio MPP tag" in warning


@pytest.mark.parametrize("source", [RESOLUTION_TAGS, JPEG_DENSITY])
@pytest.mark.parametrize("dpi", [72, 96, 300])
def test_a_print_resolution_is_no_scale_and_no_alarm(source, dpi):
    assert checked_spacing(((25400 / dpi, 25400 / dpi), source)) == ((None, "missing"), ())


def test_pixels_that_are_not_square_are_told_of():
    spacing, (warning,) = checked_spacing(((0.5, 0.25), "OME-XML PhysicalSize"))
    assert spacing[0] == (0.5, 0.25)
    assert "not square" in warning
