"""An analysis of a million cells: opened, counted, exported.

python -m benchmarks.large_analysis [CELLS [FILE]]      FILE is made if it is not there
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_deepheme import AnalysisOptions, drain, load_bundle, open_analysis, open_slide
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.result import Notice, NoticeKind, UnitResult
from napari_deepheme.analysis.run import analyse_with
from napari_deepheme.cells import Cells, RawOutputs
from napari_deepheme.sample_data import SAMPLE_SLIDE
from napari_deepheme.store.opening import create_analysis

PER_UNIT, SIDE = 500, 100_000

PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np
from napari_deepheme import open_analysis
from napari_deepheme.export.formats import export_cells
from napari_deepheme.export.counts import differential_of as count
OUT = sys.argv[2]
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
before = peak()
start = time.perf_counter()
with open_analysis(sys.argv[1]) as file:
    opened = file.analysis()
    print("opened", time.perf_counter() - start)
    start = time.perf_counter()
    count(opened)
    print("differential", time.perf_counter() - start)
    start = time.perf_counter()
    export_cells(opened, Path(OUT))
    print("CSV", time.perf_counter() - start)
print(f"{peak():.0f} MB at most, {before:.0f} MB after imports")
"""


def make(path: Path, cells: int) -> None:
    """An analysis file as a run would leave it, its cells drawn at random."""
    with open_slide(SAMPLE_SLIDE) as slide:
        options = AnalysisOptions(target_cells=1)
        facts = drain(analyse_with(Engine(load_bundle()), slide, options)).facts
    facts = replace(facts, options=AnalysisOptions(target_cells=0), fields=(), regions=facts.regions[:1])
    rng = np.random.default_rng(0)
    spec = facts.bundle
    with create_analysis(path, {"slide": "made"}) as file:
        file.begin(facts)
        for unit in range(cells // PER_UNIT):
            n = PER_UNIT
            found = Cells(
                rng.uniform(0, SIDE, (n, 2)),
                rng.uniform(6, 20, n).astype(np.float32),
                rng.uniform(0.12, 1, n).astype(np.float32),
                np.zeros(n, np.int32),
            )
            members = rng.dirichlet(np.full(len(spec.taxonomy.classes), 0.1), (len(spec.members), n)).astype(
                np.float16
            )
            raw = RawOutputs(members, rng.uniform(0, 2, n).astype(np.float32))
            file.commit(UnitResult(f"tile {unit + 1}", found, raw))
        file.finish([Notice(NoticeKind.SLIDE, "Made by a benchmark.")])


def main() -> None:
    """Make it if need be, and measure in a process of its own."""
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    path = Path(sys.argv[2] if len(sys.argv) > 2 else f"/tmp/{cells}.deepheme.db")
    if not path.exists():
        start = time.perf_counter()
        make(path, cells)
        print(f"made in {time.perf_counter() - start:.1f} s, {path.stat().st_size / 2**20:.0f} MiB")
    with open_analysis(path) as file:
        print(f"{len(file.done())} units")
    subprocess.run([sys.executable, "-c", PROGRAM, str(path), "/tmp/large.csv"], check=True)


if __name__ == "__main__":
    main()
