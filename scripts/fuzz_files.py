"""Small slides and pictures of every dialect, made from a seed, and ways to damage them."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numcodecs
import numpy as np
import tifffile
import zarr
from PIL import Image
from zarr.codecs import GzipCodec, ZstdCodec

DICOM = Path(__file__).parents[2] / "shared/data/slides/real/CMU-1-Small-Region-dicom"
CHECKED = {"deflate", "png", "lzma", "gzip"}
"""Compressions whose own checksum tells every damage of their bytes."""
_COMPRESSIONS = ("jpeg", "deflate", "lzw", "packbits", "zstd", "webp", "jpeg2000", "png", "lzma", None)
_KINDS = (
    "plain", "plain", "aperio", "ome", "subifds", "big", "grey", "imagej", "swapped", "ndpi", "scn", "bif",
    "philips", "planar",
)  # fmt: skip
_ABSURD = (0, 1, 2, 255, 2**16 - 1, 2**31 - 1, 2**32 - 1)

Places = list[tuple[int, int]]
"""Offset and length of what holds pixels in a file."""


@dataclass(frozen=True)
class Written:
    """A file that was written: what is opened, what of it is damaged, and how its pixels are packed."""

    opened: Path
    damaged: Path
    compression: str
    places: Places


def picture(rng: random.Random) -> np.ndarray:
    """Smooth colours with noise, of any small size."""
    height, width = rng.randrange(40, 420), rng.randrange(40, 420)
    noise = np.random.default_rng(rng.randrange(2**32))
    coarse = noise.integers(40, 230, (height // 16 + 2, width // 16 + 2, 3))
    fine = coarse.repeat(16, 0).repeat(16, 1)[:height, :width] + noise.integers(-12, 12, (height, width, 3))
    return fine.clip(0, 255).astype(np.uint8)


def write(folder: Path, rng: random.Random) -> Written:
    """A file of a random kind."""
    writers = (write_tiff, write_picture, write_zarr, write_vms, copy_dicom)
    return rng.choices(writers, (70, 14, 8, 4, 4 if DICOM.is_dir() else 0))[0](folder, rng)


def write_picture(folder: Path, rng: random.Random) -> Written:
    """A field of view as cameras and viewers write them."""
    path, kind = folder / "case.png", rng.choice(("png", "jpeg", "jpeg", "webp", "jpeg2000", "bmp"))
    options: dict[str, object] = {}
    if kind == "jpeg":
        options = {
            "quality": rng.randrange(20, 98),
            "progressive": rng.random() < 0.3,
            "dpi": (101600, 101600),
        }
    mode = rng.choice(("RGB", "RGB", "L", "CMYK" if kind == "jpeg" else "RGB"))
    held = io.BytesIO()
    Image.fromarray(picture(rng)).convert(mode).save(held, kind, **options)
    path.write_bytes(held.getvalue())
    return Written(path, path, kind, [(len(held.getvalue()) // 8, len(held.getvalue()) * 7 // 8)])


def write_zarr(folder: Path, rng: random.Random) -> Written:
    """An OME-Zarr of two levels; one of its files is to be damaged."""
    version, path, pixels = rng.choice((2, 3)), folder / "case.zarr", picture(rng)
    root = zarr.create_group(path, zarr_format=version)
    compression = rng.choice(("gzip", "zstd", "none"))
    names = {"gzip": {2: numcodecs.GZip(), 3: GzipCodec()}, "zstd": {2: numcodecs.Zstd(), 3: ZstdCodec()}}
    compressors = names[compression][version] if compression in names else None
    datasets = []
    for level in range(2):
        stored = np.ascontiguousarray(pixels[:: 2**level, :: 2**level].transpose(2, 0, 1))
        array = root.create_array(
            str(level), shape=stored.shape, dtype="u1", chunks=(3, 128, 96), compressors=compressors
        )
        array[:] = stored
        scale = {"type": "scale", "scale": [1, 0.25 * 2**level, 0.25 * 2**level]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    axes = [{"name": "c"}, *({"name": name, "unit": "micrometer"} for name in "yx")]
    said = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    root.attrs.update(said if version == 2 else {"ome": said})
    damaged = rng.choice(sorted(each for each in path.rglob("*") if each.is_file() and each.stat().st_size))
    return Written(path, damaged, compression, [(0, damaged.stat().st_size)])


def write_vms(folder: Path, rng: random.Random) -> Written:
    """A Hamamatsu VMS, which OpenSlide reads: a JPEG with its map and a text that names them."""
    image = Image.fromarray(picture(rng)).resize((512, 480))
    for name, size in (("a.jpg", (512, 480)), ("map.jpg", (64, 60))):
        image.resize(size).save(folder / name, quality=90, subsampling=0, restart_marker_rows=1)
    said = "NoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\nImageFile=a.jpg\nMapFile=map.jpg\nSourceLens=40\n"
    path = folder / "case.vms"
    path.write_text(f"[Virtual Microscope Specimen]\n{said}PhysicalWidth=90000\nPhysicalHeight=90000\n")
    damaged = rng.choice((path, folder / "a.jpg", folder / "map.jpg"))
    return Written(path, damaged, "jpeg of OpenSlide", [(0, damaged.stat().st_size)])


def copy_dicom(folder: Path, rng: random.Random) -> Written:
    """The real DICOM slide beside the checkout, which OpenSlide reads."""
    to = folder / "case"
    shutil.copytree(DICOM, to, copy_function=shutil.copyfile)
    damaged = rng.choice(sorted(to.iterdir()))
    size = damaged.stat().st_size
    places = rng.choice(([(0, min(size, 6000))], [(0, size)]))
    return Written(to, damaged, "jpeg of OpenSlide", places)


def write_tiff(folder: Path, rng: random.Random) -> Written:
    """A slide of a random dialect."""
    path, pixels, compression, kind = (
        folder / "case.tif",
        picture(rng),
        rng.choice(_COMPRESSIONS),
        rng.choice(_KINDS),
    )
    if kind == "imagej":
        tifffile.imwrite(path, pixels, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
        return Written(path, path, "none", _places(path))
    if kind in ("grey", "planar") and compression == "webp":  # knows no grey
        compression = "deflate"
    options = _options(compression, kind, rng)
    if kind == "grey":
        pixels, options["photometric"] = pixels[..., 0], rng.choice(("minisblack", "miniswhite"))
    how = {"bigtiff": kind == "big", "byteorder": ">" if kind == "swapped" else "<", "ome": kind == "ome"}
    with tifffile.TiffWriter(path, **how) as writer:
        for number, level in enumerate((pixels, pixels[::2, ::2])):
            stored = np.ascontiguousarray(level.transpose(2, 0, 1) if kind == "planar" else level)
            more = {"subfiletype": 1} if number else {"subifds": int(kind == "subifds")}
            writer.write(stored, **more, **options)
            options |= {"metadata": None, "description": None}
    return Written(path, path, compression or "none", _places(path))


def _options(compression: str | None, kind: str, rng: random.Random) -> dict[str, object]:
    tiled = rng.random() < 0.75
    options: dict[str, object] = {
        "photometric": "rgb",
        "compression": compression,
        "tile": (rng.choice((64, 128, 256)),) * 2 if tiled else None,
        "metadata": {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25} if kind == "ome" else None,
    }
    if not tiled:
        options["rowsperstrip"] = rng.choice((1, 7, 16, 1000))
    if compression in ("deflate", "lzw", "zstd") and rng.random() < 0.4:
        options["predictor"] = True
    if compression == "jpeg" and kind not in ("grey", "planar") and rng.random() < 0.5:
        options["compressionargs"] = {"level": rng.randrange(20, 98)}
    if kind == "planar":
        options["planarconfig"] = "separate"
    return options | _DIALECTS.get(kind, {})


_XMP = b"<iScan ScanRes='0.25'/>"
_NDPI = [(65420, "I", 1, 1, True), (271, "s", 0, "Hamamatsu", True), (65421, "f", 1, 40.0, True)]
_DIALECTS: dict[str, dict[str, object]] = {
    "aperio": {"description": "Aperio Image Library v12\n|AppMag = 40|MPP = 0.25"},
    "ndpi": {"extratags": _NDPI},
    "scn": {"description": '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection/></scn>'},
    "bif": {"description": "level=0 mag=40 quality=90", "extratags": [(700, "B", len(_XMP), _XMP, True)]},
    "philips": {"description": '<DataObject ObjectType="DPUfsImport"/>', "software": "Philips DP v1.0"},
}  # fmt: skip


def _places(path: Path) -> Places:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return [(o, c) for o, c in zip(page.dataoffsets, page.databytecounts, strict=True) if c]


def cut(data: bytearray, places: Places, rng: random.Random) -> None:
    """End the file at a structure or anywhere."""
    del data[rng.choice([rng.choice(places)[0] + rng.randrange(3), rng.randrange(len(data))]) :]


def flip_tile(data: bytearray, places: Places, rng: random.Random) -> None:
    """Flip bits in one tile."""
    offset, count = rng.choice(places)
    for _ in range(rng.choice((1, 1, 3, 20))):
        data[offset + rng.randrange(max(1, count))] ^= 1 << rng.randrange(8)


def lose_bytes(data: bytearray, places: Places, rng: random.Random) -> None:
    """Let the end of one tile be zeros or other bytes."""
    offset, count = rng.choice(places)
    kept = rng.randrange(max(1, count))
    data[offset + kept : offset + count] = bytes([rng.choice((0, 255, 85))]) * (count - kept)


def flip_anywhere(data: bytearray, _places: Places, rng: random.Random) -> None:
    """Flip bits anywhere, headers and tags among them."""
    for _ in range(rng.choice((1, 5, 50))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def forge_tag(data: bytearray, _places: Places, rng: random.Random) -> None:
    """Give a tag an absurd type, count or value."""
    if data[:2] not in (b"II", b"MM"):
        flip_anywhere(data, _places, rng)
        return
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    name = "little" if order == "<" else "big"
    at = int.from_bytes(data[8:16] if big else data[4:8], name)
    size, entry = (8, 20) if big else (2, 12)
    tags = int.from_bytes(data[at : at + size], name)
    for _ in range(rng.choice((1, 1, 2))):
        begin = at + size + entry * rng.randrange(max(1, min(tags, 40)))
        field, width = rng.choice(((2, 2), (4, 4), (entry - (8 if big else 4), 4)))
        value = rng.choice(_ABSURD) & (2 ** (8 * width) - 1)
        data[begin + field : begin + field + width] = value.to_bytes(width, name)


def forge_header(data: bytearray, places: Places, rng: random.Random) -> None:
    """Let a tile's own header claim another size."""
    offset, count = rng.choice(places)
    tile = bytes(data[offset : offset + count])
    for marker, skip in (
        (b"\xff\xc0", 5),
        (b"\xff\x4f\xff\x51", 8),
        (b"IHDR", 4),
        (b"VP8L", 9),
        (b"\x9d\x01\x2a", 3),
    ):
        found = tile.find(marker)
        if found >= 0:
            data[offset + found + skip : offset + found + skip + 4] = rng.randbytes(4)
            return
    flip_tile(data, places, rng)


DAMAGES: tuple[Callable[[bytearray, Places, random.Random], None], ...] = (
    cut, flip_tile, flip_tile, lose_bytes, lose_bytes, flip_anywhere, forge_tag, forge_tag, forge_header,
)  # fmt: skip
