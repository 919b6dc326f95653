"""Bytes that an analysis fetches of a slide behind a web server, as a ratio to the tiles it needs.

python -m benchmarks.remote_slide [SLIDE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_deepheme import AnalysisOptions, analyse, cells_table, drain, load_bundle, open_slide
from napari_deepheme.slide.file import SlideFile
from napari_deepheme.slide.fingerprint import fingerprint

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from range_server import serving

SLIDE = Path("../shared/data/slides/mosaic/blood_40x.svs")


def main() -> None:
    """Every cell, then the default 500."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SLIDE
    bundle = load_bundle()
    read: set[tuple[int, int]] = set()
    original = SlideFile.read

    def counted(self: SlideFile, offset: int, count: int) -> bytes:
        read.add((offset, count))
        return original(self, offset, count)

    SlideFile.read = counted  # type: ignore[method-assign]
    with serving(path.resolve().parent) as server:
        for target in (0, 500):
            options = AnalysisOptions(target_cells=target)
            read.clear()
            with open_slide(path) as slide:
                read.clear()  # of the tiles alone
                here = cells_table(drain(analyse(slide, bundle, options)))
            server.given.clear()
            with open_slide(server.url(path.name)) as slide:
                fingerprint(slide.info)
                opening = sum(end - start for start, end in server.given)
                there = cells_table(drain(analyse(slide, bundle, options)))
            tiles = sum(count for _, count in read)
            fetched = sum(end - start for start, end in server.given)
            same = here.equals(there)
            print(
                f"target {target}: {fetched / 1e6:.2f} MB fetched in {len(server.given)} requests, "
                f"{opening / 1e6:.2f} MB of them to open and fingerprint, tiles {tiles / 1e6:.2f} MB: "
                f"{fetched / tiles:.2f} ×; same cells: {same}",
                flush=True,
            )


if __name__ == "__main__":
    main()
