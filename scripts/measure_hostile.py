"""What ``info`` needs on hostile files and on the real slides beside the checkout: seconds and memory.

python scripts/measure_hostile.py

Each runs in a process of its own. Seconds are of the processor, since other programs may need the machine;
megabytes are above what ``info`` needs for a picture of 8 × 8 px.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from numcodecs import Blosc, GZip
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/unit/slide"))
from painted_slides import texture, write_vms
from painted_zarr import write_zarr
from zarr.codecs import BloscCodec, GzipCodec

SHARED = Path(__file__).parents[2] / "shared/data"
SECONDS, MEGABYTES = 5, 500
_RUN = """
import atexit, pathlib
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print("VmHWM:", status.read_text().partition("VmHWM:")[2], flush=True))
from napari_deepheme.cli import main
main()
"""


def tile_header(path: Path, compression: str, marker: bytes, skip: int) -> None:
    """A tile of 256 px whose own header claims 65535² (JPEG) or 2³¹ (JPEG 2000)."""
    options = {"tile": (256, 256), "photometric": "rgb", "compression": compression}
    tifffile.imwrite(path, texture(512, 512), **options)
    data = bytearray(path.read_bytes())
    at = data.find(marker)
    while at >= 0:
        data[at + skip : at + skip + 4] = b"\xff\xff\xff\xff" if marker[1] == 0xC0 else b"\x7f\xff\xff\xff"
        at = data.find(marker, at + 4)
    path.write_bytes(data)


def jpeg_header(path: Path) -> None:
    """A small JPEG patched to 20000 × 19000 px."""
    Image.fromarray(texture(64, 64)).save(path)
    data = bytearray(path.read_bytes())
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 19000, 20000)
    path.write_bytes(data)


def one_bit_png(path: Path) -> None:
    """390 megapixels of one bit."""
    rows, columns = 19500, 20000

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", columns, rows, 1, 0, 0, 0, 0)
    packed = zlib.compress(bytes((1 + columns // 8) * rows))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", packed), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def many_pages(path: Path) -> None:
    """100,000 directories in one chain."""
    page = bytearray()
    tags = ((256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8), (279, 64))
    size = 2 + 12 * len(tags) + 4
    for number in range(100_000):
        after = 72 + size * (number + 1) if number < 99_999 else 0
        page += struct.pack("<H", len(tags))
        page += b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags)
        page += struct.pack("<I", after)
    path.write_bytes(b"II*\0" + struct.pack("<I", 72) + bytes(64) + page)


def zarr_bomb(path: Path, codec: object, packed: bytes) -> None:
    """Every chunk of an OME-Zarr unpacks to 1 GB."""
    write_zarr(path, texture(256, 192), compressors=codec)
    for chunk in (path / "0/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(packed)


def vms_header(path: Path) -> None:
    """A VMS whose picture claims 65535²."""
    path.mkdir()
    write_vms(path)
    data = bytearray((path / "a.jpg").read_bytes())
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    (path / "a.jpg").write_bytes(data)


def hostile(folder: Path) -> dict[str, Path]:
    """Write the files; by what is wrong with them."""
    zeros = np.zeros(10**9, np.uint8)
    gzip, blosc = GZip(9).encode(zeros), Blosc(cname="zstd").encode(zeros)
    del zeros
    writers: dict[str, Callable[[Path], None]] = {
        "JPEG tile that claims 65535²": lambda at: tile_header(at, "jpeg", b"\xff\xc0", 5),
        "JPEG 2000 tile that claims 2³¹": lambda at: tile_header(at, "jpeg2000", b"\xff\x4f\xff\x51", 8),
        "JPEG of 20000 × 19000": jpeg_header,
        "one-bit PNG of 390 Mpx": one_bit_png,
        "TIFF of 100,000 pages": many_pages,
        "OME-Zarr of gzip bombs": lambda at: zarr_bomb(at, GzipCodec(), gzip),
        "OME-Zarr of blosc bombs": lambda at: zarr_bomb(at, BloscCodec(), blosc),
        "VMS that claims 65535²": vms_header,
    }
    files: dict[str, Path] = {}
    for number, (name, write) in enumerate(writers.items()):
        path = folder / f"{number}.jpg"
        write(path)
        files[name] = path / "slide.vms" if (path / "slide.vms").exists() else path
    return files | {"/dev/zero": Path("/dev/zero")}


def measured(path: Path) -> tuple[float, float, str]:
    """Seconds, megabytes and the last line of ``info`` on a file; of the memory Linux alone tells."""
    command = [sys.executable, "-c", _RUN, "info", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    lines, _, peak = said.rpartition("VmHWM:")
    text = f"ended with {process.returncode}" if process.returncode not in (0, 2) else lines.strip()
    megabytes = float(peak.split()[0]) / 1024 if peak else 0.0
    return usage.ru_utime + usage.ru_stime, megabytes, text.splitlines()[-1] if text else ""


def main() -> None:
    """Print a line a file; exit 1 if one needs too much."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.new("RGB", (8, 8)).save(folder / "small.png")
        _, own, _ = measured(folder / "small.png")
        files = hostile(folder)
        real = (*SHARED.glob("slides/*/*"), *SHARED.glob("munich/corrupt_jpeg/*"))
        files |= {path.name: path for path in sorted(real) if path.suffix != ".csv"}
        worst = False
        for what, path in files.items():
            seconds, megabytes, said = measured(path)
            worst |= seconds > SECONDS or megabytes - own > MEGABYTES or said.startswith("ended")
            print(f"{what}: {seconds:.1f} s, {max(0, megabytes - own):.0f} MB, {said[:110]}", flush=True)
    sys.exit(worst)


if __name__ == "__main__":
    main()
