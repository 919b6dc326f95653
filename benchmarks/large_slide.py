"""Memory of a 40,000 × 40,000 px slide: open it, show it at every zoom, classify a region.

python -m benchmarks.large_slide [FILE]      FILE is rendered if it is not there (minutes)
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from napari_deepheme import AnalysisOptions, analyse, drain, load_bundle, open_slide
from napari_deepheme.cells import Region


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "large.svs")
    if not path.exists():
        synth = ["synth", "--out", str(path), "--size", "40000", "40000", "--cells", "6000", "--seed", "1"]
        subprocess.run([sys.executable, "-m", "napari_deepheme", *synth], check=True)
    print(f"python and the package alone: {peak_gb():.2f} GB")
    with open_slide(path) as slide:
        for level in slide.pyramid():
            middle = tuple(slice(max(0, n // 2 - 1000), n // 2 + 1000) for n in level.shape[:2])
            np.asarray(level[middle])
        print(f"opened, a screen of every level looked at: {peak_gb():.2f} GB")
        region = Region.box("region", 18000, 18000, 22000, 22000)
        options = AnalysisOptions(target_cells=0, regions=(region,))
        analysis = drain(analyse(slide, load_bundle(), options))
        print(f"classified {len(analysis.cells)} cells of a region: {peak_gb():.2f} GB")


if __name__ == "__main__":
    main()
