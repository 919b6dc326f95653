"""The table of docs/formats.md is what opening such files gives; UPDATE_DOCS=1 writes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import tifffile
from painted_slides import write_tiff, write_vms
from painted_zarr import write_zarr
from PIL import Image, ImageCms
from test_tiff import FULL, VENDORS

from napari_deepheme.slide import open_slide

DOCS = Path(__file__).parents[3] / "docs" / "formats.md"
BEGIN, END = "<!-- table: written by tests/unit/slide/test_formats.py -->\n", "<!-- end of table -->\n"
HEAD = (
    "| format | levels read | µm/px from | objective | label, macro … | ICC profile | tested with |\n"
    "|---|---|---|---|---|---|---|\n"
)
REAL = (
    "real/CMU-1-Small-Region.svs",
    "real/tcga-no-mpp-jpeg2000.svs",
    "real/HE_example.ome.tif",
    "real/CMU-1-Small-Region-dicom",
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@dataclass(frozen=True)
class Painted:
    """A file to write and what wrote it."""

    name: str
    write: Callable[[Path], object]
    by: str


def picture(suffix: str, **options: object) -> Painted:
    def write(path: Path) -> None:
        Image.fromarray(FULL).save(path, **options)

    return Painted(f"a.{suffix}", write, "Pillow")


def profiled(path: Path) -> None:
    write_tiff(path, FULL, FULL[::2, ::2], iccprofile=SRGB)


def zarr(version: str) -> Painted:
    def write(path: Path) -> None:
        write_zarr(path, FULL, FULL[::2, ::2], version=version)

    return Painted(f"{version}.zarr", write, f"zarr, version {version}")


def vms(path: Path) -> None:
    path.mkdir()
    write_vms(path)


def imagej(path: Path) -> None:
    tifffile.imwrite(path, FULL, imagej=True, resolution=(4, 4), metadata={"unit": "um"})


PAINTED = [
    *(Painted("a.tif", write, "tifffile, in this layout") for _, write, _, _ in VENDORS[:-1]),
    Painted("a.tif", imagej, "tifffile"),
    Painted("a.tif", profiled, "tifffile, with a profile"),
    picture("png", dpi=(101600, 101600), icc_profile=SRGB),
    picture("jpg", dpi=(60000, 60000), icc_profile=SRGB),
    picture("jp2"),
    picture("webp", icc_profile=SRGB),
    picture("bmp"),
    zarr("0.4"),
    zarr("0.5"),
    Painted("vms", vms, "Pillow, in this layout"),
]


def row(path: Path, by: str) -> str:
    with open_slide(path / "slide.vms" if (path / "slide.vms").exists() else path) as slide:
        info = slide.info
        for level in range(len(info.levels)):
            slide.level_pixels(level, (0, 0, 16, 16))
        for name in info.associated:
            slide.associated_image(name)
        source = "not in the file" if info.mpp is None else info.mpp_source
        names = ", ".join(info.associated) or "none"
        objective = "not in the file" if info.objective is None else f"{info.objective:g}×"
        icc = info.icc or "none"
        return f"| {info.format} | {len(info.levels)} | {source} | {objective} | {names} | {icc} | {by} |\n"


def documented() -> tuple[str, list[str], str]:
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    return before, table.removeprefix(HEAD).splitlines(keepends=True), after


def test_the_table_of_formats_is_what_was_measured(tmp_path, shared):
    pytest.importorskip("openslide", reason="the extra openslide is not installed")
    rows = []
    for number, painted in enumerate(PAINTED):
        path = tmp_path / f"{number}-{painted.name}"
        painted.write(path)
        rows.append(row(path, painted.by))
    for name in REAL:
        rows.append(row(shared / "slides" / name, f"the real `{Path(name).name}`"))
    before, table, after = documented()
    if os.environ.get("UPDATE_DOCS"):
        DOCS.write_text(before + BEGIN + HEAD + "".join(rows) + END + after, encoding="utf-8")
        pytest.skip("the table was written anew")
    assert table == rows
