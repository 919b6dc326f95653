"""Slides of every dialect, damaged in every way, read in processes of bounded time and memory.

python scripts/fuzz.py --cases 2000 --seed 1

A case is made from its seed alone (``--only N`` repeats one). Found are: tracebacks (anything raised that is
not of our exception tree), hangs, processes that grew beyond the limit, and tiles that a decoder complained
of, or that came out different from the whole file with their damage in reach of a check, without a notice.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from napari_deepheme.errors import DamagedTileError, DeepHemeError
from napari_deepheme.slide import Slide, open_slide

BATCH = 100
SECONDS, MEGABYTES = 20, 1500
_ADDRESSES = 8 * 2**30
CHECKED = {"deflate", "png"}
"""Compressions whose own checksum tells every damage of their bytes."""
_COMPRESSIONS = ("jpeg", "deflate", "lzw", "packbits", "zstd", "webp", "jpeg2000", "png", "lzma", None)
_ABSURD = (0, 1, 2, 255, 2**16 - 1, 2**31 - 1, 2**32 - 1)


def picture(rng: random.Random) -> np.ndarray:
    """Smooth colours with noise, of any small size."""
    height, width = rng.randrange(40, 420), rng.randrange(40, 420)
    noise = np.random.default_rng(rng.randrange(2**32))
    coarse = noise.integers(40, 230, (height // 16 + 2, width // 16 + 2, 3))
    fine = coarse.repeat(16, 0).repeat(16, 1)[:height, :width] + noise.integers(-12, 12, (height, width, 3))
    return fine.clip(0, 255).astype(np.uint8)


def write(path: Path, rng: random.Random) -> str | None:
    """A slide of a random dialect; its compression."""
    pixels, compression = picture(rng), rng.choice(_COMPRESSIONS)
    tiled = rng.random() < 0.75
    options: dict[str, object] = {
        "photometric": "rgb",
        "compression": compression,
        "tile": (rng.choice((64, 128, 256)),) * 2 if tiled else None,
        "metadata": None,
    }
    if not tiled:
        options["rowsperstrip"] = rng.choice((1, 7, 16, 1000))
    if compression in ("deflate", "lzw", "zstd") and rng.random() < 0.4:
        options["predictor"] = True
    kind = rng.choice(("plain", "plain", "aperio", "ome", "subifds", "big", "grey", "imagej", "swapped"))
    if kind == "imagej":
        tifffile.imwrite(path, pixels, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
        return None
    if kind == "grey":
        pixels, options["photometric"] = pixels[..., 0], rng.choice(("minisblack", "miniswhite"))
        if compression == "webp":  # knows no grey
            compression = options["compression"] = "deflate"
    if kind == "aperio":
        options["description"] = "Aperio Image Library v12\n|AppMag = 40|MPP = 0.25"
    if compression == "jpeg" and kind != "grey" and rng.random() < 0.5:
        options["compressionargs"] = {"level": rng.randrange(20, 98)}
    how = {"bigtiff": kind == "big", "byteorder": ">" if kind == "swapped" else "<", "ome": kind == "ome"}
    if kind == "ome":
        options["metadata"] = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    with tifffile.TiffWriter(path, **how) as writer:
        writer.write(pixels, subifds=int(kind == "subifds"), **options)
        options |= {"metadata": None, "description": None}
        writer.write(np.ascontiguousarray(pixels[::2, ::2]), subfiletype=1, **options)
    return compression


def cut(data: bytearray, places: list[tuple[int, int]], rng: random.Random) -> None:
    """End the file at a structure or anywhere."""
    del data[rng.choice([rng.choice(places)[0] + rng.randrange(3), rng.randrange(len(data))]) :]


def flip_tile(data: bytearray, places: list[tuple[int, int]], rng: random.Random) -> None:
    """Flip bits in one tile."""
    offset, count = rng.choice(places)
    for _ in range(rng.choice((1, 1, 3, 20))):
        data[offset + rng.randrange(max(1, count))] ^= 1 << rng.randrange(8)


def lose_bytes(data: bytearray, places: list[tuple[int, int]], rng: random.Random) -> None:
    """Let the end of one tile be zeros or other bytes."""
    offset, count = rng.choice(places)
    kept = rng.randrange(max(1, count))
    data[offset + kept : offset + count] = bytes([rng.choice((0, 255, 85))]) * (count - kept)


def flip_anywhere(data: bytearray, _places: list[tuple[int, int]], rng: random.Random) -> None:
    """Flip bits anywhere, headers and tags among them."""
    for _ in range(rng.choice((1, 5, 50))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def forge_tag(data: bytearray, _places: list[tuple[int, int]], rng: random.Random) -> None:
    """Give a tag an absurd type, count or value."""
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


def forge_header(data: bytearray, places: list[tuple[int, int]], rng: random.Random) -> None:
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


DAMAGES: tuple[Callable[[bytearray, list[tuple[int, int]], random.Random], None], ...] = (
    cut, flip_tile, flip_tile, lose_bytes, lose_bytes, flip_anywhere, forge_tag, forge_tag, forge_header,
)  # fmt: skip


def run_case(case_seed: int, folder: Path) -> str:
    """Make, damage and read one slide; what came of it."""
    rng = random.Random(case_seed)
    path = folder / "case.tif"
    compression = write(path, rng)
    with open_slide(path) as slide:
        whole = slide.pyramid()[0].compute()
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        places = [(o, c) for o, c in zip(page.dataoffsets, page.databytecounts, strict=True) if c]
    data = bytearray(path.read_bytes())
    damage = rng.choice(DAMAGES)
    damage(data, places, rng)
    path.write_bytes(data)
    try:
        with open_slide(path) as slide:
            return _judge(slide, whole, damage, compression)
    except DeepHemeError as err:
        return "refused" if "\n" not in str(err) else f"BAD sentence of several lines: {err}"


def _judge(slide: Slide, whole: np.ndarray, damage: Callable[..., None], compression: str | None) -> str:
    """Read everything in both ways; whether what is damaged and can be known to be was told of."""
    noticed = bool(slide.info.warnings)
    slide.overview(256)
    for name in slide.info.associated:
        slide.associated_image(name)
    height, width = slide.info.shape
    for y in range(128, min(height, 2000) + 128, 256):
        for x in range(128, min(width, 2000) + 128, 256):
            try:
                slide.read_downsampled((y - 0.5, x - 0.5), (256, 256), (1, 1))
            except DamagedTileError:
                noticed = True
    if slide.info.shape != whole.shape[:2] or damage not in (flip_tile, lose_bytes):
        return "noticed" if noticed else "read"
    shown = slide.pyramid()[0].compute()
    different = bool((np.abs(shown.astype(int) - whole).max(axis=2) > 30).mean() > 0.005)
    if different and not noticed:
        return (
            f"BAD {compression} damage without a notice" if compression in CHECKED else "silent, no checksum"
        )
    return "noticed" if noticed else "read"


def run_batch(seed: int, first: int, n: int) -> None:
    """Run cases in this process; print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + n):
            start = time.process_time()  # not the wall clock: other programs may need the machine
            try:
                outcome = run_case(seed * 1_000_003 + number, Path(folder))
            except Exception:  # noqa: BLE001  what is raised here is what is looked for
                outcome = f"BAD {traceback.format_exc()}"
            peak = peak_mb()
            spent = time.process_time() - start
            print(json.dumps([number, outcome, round(spent, 2), round(peak)]), flush=True)


def peak_mb() -> float:
    """The most memory this process had, MB; Linux keeps in ``ru_maxrss`` that of the process it came from."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fuzz(seed: int, cases: int) -> tuple[Counter[str], list[str]]:
    """Run cases in batches, each batch in a process of its own; outcomes, and what is wrong."""
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    number = 0
    while number < cases:
        n = min(BATCH, cases - number)
        lines, ended = _in_process(seed, number, n)
        for at, outcome, seconds, megabytes in lines:
            outcomes[outcome if not outcome.startswith("BAD") else "BAD"] += 1
            if outcome.startswith("BAD") or seconds > SECONDS or megabytes > MEGABYTES:
                wrong.append(f"case {at}: {outcome} ({seconds} s, {megabytes} MB)")
        number += len(lines)
        if ended and len(lines) < n:
            wrong.append(f"case {number}: the process {ended}")
            number += 1
    return outcomes, wrong


def _in_process(seed: int, first: int, n: int) -> tuple[list[tuple[int, str, float, int]], str]:
    """Lines of a batch, and how its process ended if not by itself."""
    command = [sys.executable, __file__, "--seed", str(seed), "--batch", str(first), str(n)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed, _ = process.communicate(timeout=n * SECONDS)
            ended = f"ended with {process.returncode}" if process.returncode else ""
        except subprocess.TimeoutExpired:
            process.kill()
            printed, _ = process.communicate()
            ended = "hung"
    return [tuple(json.loads(line)) for line in printed.splitlines()], ended


def main() -> None:
    """Run what the command line asks for; exit 1 if anything was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="repeat one case in this process")
    parser.add_argument("--batch", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.batch:
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        run_batch(options.seed, *options.batch)
        return
    if options.only is not None:
        run_batch(options.seed, options.only, 1)
        return
    outcomes, wrong = fuzz(options.seed, options.cases)
    print(f"seed {options.seed}: {dict(outcomes)}")
    print("\n".join(wrong) or "nothing found")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
