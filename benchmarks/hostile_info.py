"""`info` on files made to exhaust memory or time, beside `info` on an ordinary slide.

python -m benchmarks.hostile_info      each must end within 5 s and 500 MB above the ordinary slide's
"""

from __future__ import annotations

import io
import multiprocessing
import os
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from napari_deepheme.sample_data import SAMPLE_SLIDE

Image.MAX_IMAGE_PIXELS = None


def run(*arguments: str | Path) -> tuple[int, float, float, str]:
    """Exit code, seconds, peak in MB and last line of the command line."""
    began = time.perf_counter()
    program = [sys.executable, "-m", "napari_deepheme", *map(str, arguments)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read().strip().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, time.perf_counter() - began, usage.ru_maxrss / 1024, said[-1] if said else ""


def jpeg(height: int, width: int, claimed: tuple[int, int]) -> bytes:
    """A JPEG whose header claims another size than it holds."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "pink").save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", *claimed)
    return bytes(data)


def tile_that_claims_more(path: Path) -> None:
    """A TIFF whose 256 px tile says that it is 65535² px."""
    tile = jpeg(256, 256, (65535, 65535))
    tifffile.imwrite(
        path, iter([tile]), shape=(256, 256, 3), dtype=np.uint8, tile=(256, 256), compression="jpeg",
        photometric="ycbcr", metadata=None,
    )  # fmt: skip


def large_jpeg(path: Path) -> None:
    """A small JPEG patched to 20000 × 19000 px."""
    path.write_bytes(jpeg(64, 64, (20000, 19000)))


def one_bit_png(path: Path) -> None:
    """390 Mpx in 50 kB."""
    Image.new("1", (20000, 19500)).save(path)


def many_pages(path: Path) -> None:
    """100,000 directories, chained."""
    entries = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 16), (279, 4, 1, 256)]
    size, n = 2 + 12 * len(entries) + 4, 100_000
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    first = 8 + 256
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, first) + bytes(256))
        for i in range(n):
            following = first + (i + 1) * size if i + 1 < n else 0
            file.write(struct.pack("<H", len(entries)) + body + struct.pack("<I", following))


def zip_of_zeros(path: Path) -> None:
    """4 GB of zeros where a model's weights should be."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", "{}")
        with archive.open("weights.safetensors", "w", force_zip64=True) as member:
            for _ in range(4096):
                member.write(bytes(2**20))


def link_to_zero(path: Path) -> None:
    """A folder whose bundle is a device that never ends."""
    path.mkdir()
    (path / "bundle.json").symlink_to("/dev/zero")


def zeros(path: Path) -> None:
    """A sparse file of 10 GB."""
    with path.open("wb") as file:
        file.truncate(10 * 2**30)


FILES: dict[str, Callable[[Path], None]] = {
    "tile.svs": tile_that_claims_more,
    "large.jpg": large_jpeg,
    "one_bit.png": one_bit_png,
    "pages.tif": many_pages,
    "zeros.zip": zip_of_zeros,
    "linked": link_to_zero,
    "zeros.svs": zeros,
}


def _in_a_process(make: Callable[[Path], None], path: Path) -> None:
    """Make a file apart: the peak that Linux reports of a child begins with its parent's."""
    maker = multiprocessing.get_context("spawn").Process(target=make, args=(path,))
    maker.start()
    maker.join()


def main() -> None:
    """Print seconds and memory above the ordinary slide's for each."""
    _, seconds, ordinary, _ = run("info", SAMPLE_SLIDE)
    print(f"{'sample slide':14} {seconds:5.1f} s  {ordinary:5.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in FILES.items():
            _in_a_process(make, Path(folder) / name)
            code, seconds, peak, said = run("info", Path(folder) / name)
            print(f"{name:14} {seconds:5.1f} s {peak - ordinary:+6.0f} MB  exit {code}: {said[:140]}")
        code, seconds, peak, said = run(
            "synth", "--out", f"{folder}/out.svs", "--size", "1000000", "1000000", "--cells", "9"
        )
        print(f"{'synth 10⁶²':14} {seconds:5.1f} s {peak - ordinary:+6.0f} MB  exit {code}: {said[:140]}")


if __name__ == "__main__":
    main()
