"""Slides of every dialect, damaged in every way, read in processes of bounded time and memory.

python scripts/fuzz.py --cases 2000 --seed 1

A case is made from its seed alone (``--only N`` repeats one). Found are: tracebacks (anything raised that is
not of our exception tree), crashes, hangs, processes that grew beyond the limit, and damage that a checksum
tells but the reader does not. One process imports the package and forks a child for each case.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzz_files import CHECKED, DAMAGES, Written, flip_tile, lose_bytes, write

from napari_deepheme.errors import DamagedTileError, DeepHemeError
from napari_deepheme.slide import Slide, open_slide

SECONDS, MEGABYTES = 20, 1500
_WALL_SECONDS = 10 * SECONDS  # other programs may need the machine
_ADDRESSES = 8 * 2**30
_DIFFERENT = 30, 0.005
"""Levels that a pixel must be off, and the share of such pixels, for a picture to count as different."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case: a word or two, and what its process needed."""

    number: int
    text: str
    seconds: float
    megabytes: float

    @property
    def is_bad(self) -> bool:
        """Whether this is what is looked for."""
        return self.text.startswith("BAD") or self.seconds > SECONDS or self.megabytes > MEGABYTES


def run_case(case_seed: int, folder: Path) -> str:
    """Make, damage and read one slide; what came of it."""
    rng = random.Random(case_seed)
    written = write(folder, rng)
    with open_slide(written.opened) as slide:
        whole = _whole(slide)
    data = bytearray(written.damaged.read_bytes())
    damage = rng.choice(DAMAGES)
    damage(data, written.places, rng)
    written.damaged.write_bytes(data)
    try:
        with open_slide(written.opened) as slide:
            return _judge(slide, whole, damage, written)
    except DeepHemeError as err:
        return "refused" if "\n" not in str(err) else f"BAD sentence of several lines: {err}"


def _judge(slide: Slide, whole: np.ndarray, damage: Callable[..., None], written: Written) -> str:
    """Read everything in both ways; whether what is damaged and can be known to be was told of."""
    noticed = bool(slide.info.warnings)
    slide.overview(256)
    for name in slide.info.associated:
        slide.associated_image(name)
    height, width = slide.info.shape
    for y in range(128, min(height, 1000) + 128, 256):
        for x in range(128, min(width, 1000) + 128, 256):
            try:
                slide.read_downsampled((y - 0.5, x - 0.5), (256, 256), (1, 1))
            except DamagedTileError:
                noticed = True
    told = "noticed" if noticed else "read"
    shown = _whole(slide)
    if shown.shape != whole.shape or damage not in (flip_tile, lose_bytes):
        return told
    levels, share = _DIFFERENT
    if (np.abs(shown.astype(int) - whole).max(axis=2) > levels).mean() <= share:
        return told
    if noticed:
        return f"noticed, {written.compression}"
    bad = "BAD " if written.compression in CHECKED else ""
    return f"{bad}silent, {written.compression}"


def _whole(slide: Slide) -> np.ndarray:
    height, width = slide.info.shape
    return slide.level_pixels(0, (0, 0, min(height, 1000), min(width, 1000)))


def warm_up(cases: int = 40) -> None:
    """Have everything imported that reading sound slides needs, once for all children."""
    for number in range(cases):
        with _folder() as folder, open_slide(write(folder, random.Random(number)).opened) as slide:
            _whole(slide)


def run_cases(seed: int, numbers: Iterator[int] | range) -> Iterator[Outcome]:
    """Run each case in a child of this process."""
    for number in numbers:
        with _folder() as folder:
            yield _in_child(number, lambda at=number, to=folder: run_case(seed * 1_000_003 + at, to))


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_child(number: int, work: Callable[[], str]) -> Outcome:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _work(work, writing)
    os.close(writing)
    text = ""
    with os.fdopen(reading, "rb") as pipe:
        if select.select([pipe], [], [], _WALL_SECONDS)[0]:
            text = pipe.read().decode()
        else:
            os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    text = text or f"BAD the process ended with {os.waitstatus_to_exitcode(status)}"
    return Outcome(number, text, round(usage.ru_utime + usage.ru_stime, 2), round(kilobytes / 1024))


def _work(work: Callable[[], str], to: int) -> None:
    """Work within limits and end this process."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 1, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    try:
        text = work()
    except BaseException:  # noqa: BLE001  what is raised here is what is looked for
        text = f"BAD {traceback.format_exc()}"
    os.write(to, text.encode()[-30_000:])
    os._exit(0)


def fuzz(seed: int, cases: int) -> tuple[Counter[str], list[str]]:
    """Run cases; how often each outcome came, and what is wrong."""
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    warm_up()
    for outcome in run_cases(seed, range(cases)):
        outcomes["BAD" if outcome.is_bad else outcome.text] += 1
        if outcome.number % 100 == 99:
            print(f"seed {seed}: {outcome.number + 1} cases, {len(wrong)} wrong", file=sys.stderr, flush=True)
        if outcome.is_bad:
            wrong.append(
                f"case {outcome.number}: {outcome.text} ({outcome.seconds} s, {outcome.megabytes} MB)"
            )
    return outcomes, wrong


def main() -> None:
    """Run what the command line asks for; exit 1 if anything was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--only", type=int, help="repeat one case")
    options = parser.parse_args()
    if options.only is not None:
        print(*run_cases(options.seed, [options.only]))
        return
    outcomes, wrong = fuzz(options.seed, options.cases)
    if options.json:
        print(json.dumps({"outcomes": outcomes, "wrong": wrong}))
    else:
        print(f"seed {options.seed}: {dict(sorted(outcomes.items()))}")
        print("\n".join(wrong) or "nothing found")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
