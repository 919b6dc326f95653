"""Where the seconds of one slide go, each as a ratio to decoding the same pixels.

python -m benchmarks.slide_seconds [SLIDE]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_deepheme import AnalysisOptions, Device, analyse, drain, load_bundle, open_slide
from napari_deepheme.analysis.locate import TILE_PX, halo_px
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.detect.choose import DEFAULT_DETECTOR, named_detector
from napari_deepheme.detect.stain import StainDetector
from napari_deepheme.fields import judge_fields
from napari_deepheme.sample_data import SAMPLE_SLIDE
from napari_deepheme.slide.tiles import crops, grid, prefetch


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE_SLIDE
    bundle, by_stain = load_bundle(), StainDetector()
    detector = named_detector(DEFAULT_DETECTOR, Device.CPU)
    with open_slide(path) as slide:
        height, width = slide.info.shape
        tiles = grid((0, 0, height, width), slide.scale(), detector.mpp, TILE_PX, halo_px(detector))
        windows: list[np.ndarray] = []
        reference = seconds(
            lambda: windows.extend(slide.read(t.centre_yx, t.shape_px, detector.mpp) for t in tiles)
        )
        rows = {"decode at 0.5 µm/px (reference)": reference}
        rows["judge all fields"] = seconds(lambda: drain(judge_fields(slide)))
        rows[f"detect by {detector.name}"] = seconds(
            lambda: list(prefetch(windows, lambda each: detector.detect([each])))
        )
        rows["detect by stain"] = seconds(
            lambda: list(prefetch(windows, lambda each: by_stain.detect([each])))
        )
        ensembles: list[Ensemble] = []
        rows["load the ensemble"] = seconds(lambda: ensembles.append(Ensemble(bundle, Device.CPU)))
        analysis = drain(analyse(slide, bundle, AnalysisOptions(target_cells=0)))
        cut: list[np.ndarray] = []
        spec = bundle.spec
        rows["crops"] = seconds(lambda: cut.append(crops(slide, analysis.cells.yx, spec.input_px, spec.mpp)))
        rows["classify"] = seconds(lambda: ensembles[0].run(cut[0]))
    with open_slide(path) as slide:
        everything = AnalysisOptions(target_cells=0)
        rows["the whole analysis"] = seconds(lambda: drain(analyse(slide, bundle, everything)))
    for name, value in rows.items():
        print(f"{name:34} {value:7.2f} s   {value / reference:6.2f} × reference")
    print(
        f"{len(analysis.cells)} cells, {len(analysis.cells) / rows['classify']:.0f} cells/s in the ensemble"
    )
    print(f"{height * width / 1e6 / rows['the whole analysis']:.1f} Mpx/s overall")


if __name__ == "__main__":
    main()
