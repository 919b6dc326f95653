"""How a detector fares on real fields, on clusters, at tile borders, and how fast it is.

python -m benchmarks.detection [DETECTOR] [DATA]      DETECTOR is marrow-cells, DATA ../shared/data
Writes contact sheets of marrow fields with all detections into the working folder: segpc.jpg on the pictures,
segpc.png on plain ground (the pictures' licence does not let them be published with this project).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scripts.make_detector import artefact_split, field_of_view_split, without_nucleus

from napari_deepheme import Device, open_slide, synth
from napari_deepheme.analysis.locate import TILE_PX, SearchSource, Unit, halo_px, read_tile, tiles_of
from napari_deepheme.cells import Cells, Region
from napari_deepheme.detect.base import Detections, Detector
from napari_deepheme.detect.choose import DEFAULT_DETECTOR, named_detector
from napari_deepheme.fields import varied_fields
from napari_deepheme.jobs import drain
from napari_deepheme.slide.reader import Slide
from napari_deepheme.slide.tiles import prefetch
from napari_deepheme.stats.detection import DetectionCounts, detection_counts, inside, matches

SEGPC_MPP, SEGPC_PX, SHOWN = 0.20, (512, 384), 12
MIDDLE_UM = 5.0
# red cells as no rendered smear of the training has them: their colour under the reference light, the glass,
# and the factors on the basic dye
ODD_STAINS = {
    "blue": synth.Stain(red_cell=(158, 162, 172), light=(236, 238, 240), basic=(1.0, 1.0, 1.0)),
    "dark": synth.Stain(red_cell=(128, 88, 84), light=(225, 205, 190), basic=(1.1, 1.0, 1.1)),
    "green": synth.Stain(red_cell=(160, 178, 130), light=(214, 232, 205), basic=(1.0, 0.9, 1.2)),
    "violet": synth.Stain(red_cell=(172, 132, 170), light=(225, 215, 238), basic=(0.9, 1.1, 0.8)),
    "pale nuclei": synth.Stain(red_cell=(205, 150, 120), light=(250, 240, 215), basic=(0.7, 0.65, 0.8)),
}


def found_in(slide: Slide, detector: Detector, tile_px: int = TILE_PX) -> Detections:
    """What an analysis of the whole slide finds."""
    height, width = slide.info.shape
    whole = (Region.box("slide", -0.5, -0.5, height - 0.5, width - 0.5),)
    fields = varied_fields(slide, tiles_of(slide, whole, detector.mpp), 16)
    calibration = detector.calibrate([read_tile(slide, tile, detector.mpp)[0] for tile in fields])
    tiles = tiles_of(slide, whole, detector.mpp, tile_px, halo_px(detector))
    units = [Unit(str(i), tile) for i, tile in enumerate(tiles)]
    source = SearchSource(slide, detector, calibration, whole, units)
    found = Cells.concatenate([each.cells for each in source.located({})])
    return Detections(found.yx, found.diameter_um, found.score).above(detector.thresholds.film)


def show(name: str, counts: DetectionCounts) -> None:
    print(
        f"{name:34s} {counts.both + counts.only_marked:6d} cells  precision {counts.precision:.4f}  "
        f"recall {counts.recall:.4f}  F1 {counts.f1:.4f}",
        flush=True,
    )


def of_slide(path: Path, truth: pd.DataFrame, detector: Detector) -> DetectionCounts:
    with open_slide(path) as slide:
        found = found_in(slide, detector)
    reach = truth[["height_px", "width_px"]].to_numpy() / 2
    return detection_counts(found.yx, truth[["y_px", "x_px"]].to_numpy(np.float64), reach)


def held_back_fields(data: Path, detector: Detector) -> None:
    _, held = field_of_view_split(data)
    total, false = DetectionCounts(), []
    for name in ("bccd", "txl_pbc"):
        of_set = DetectionCounts()
        for mark in (mark for mark in held if mark.path.parent.name == name):
            with open_slide(mark.path, mpp=mark.mpp) as field:
                found = found_in(field, detector)
            cells = mark.cells.astype(np.float64)
            of_set += detection_counts(found.yx, cells[:, :2], cells[:, 2:] / 2)
            pairs = matches(found.yx, cells[:, :2], cells[:, 2:] / 2)
            wrong = np.setdiff1d(np.arange(len(found.yx)), pairs[:, 0])
            false += [(found.score[i], inside(found.yx[i : i + 1], mark.others)[0]) for i in wrong]
        show(f"{name}, a fifth held back", of_set)
        total += of_set
    show("both", total)
    first = sorted(false, key=lambda each: -each[0])[:100]
    print(f"of the first {len(first)} false ones {sum(other for _, other in first)} red cells or platelets")


def artefacts(data: Path, detector: Detector) -> None:
    """How often something is found in the middle of pictures of artefacts."""
    found: dict[bool, list[bool]] = {True: [], False: []}
    for mark in artefact_split(data)[1]:
        with open_slide(mark.path, mpp=mark.mpp) as picture:
            middle = (np.array(picture.info.shape) - 1) / 2
            away = np.hypot(*(found_in(picture, detector).yx - middle).T) * mark.mpp
        found[mark.path.name in without_nucleus()].append(bool((away < MIDDLE_UM).any()))
    for without, name in ((True, "no nucleus"), (False, "bare and smudged nuclei")):
        print(f"artefacts held back, {name}: {sum(found[without])} of {len(found[without])} found")


def segpc(data: Path, detector: Detector) -> None:
    folder = data / "fields" / "segpc_eval_only"
    marked = pd.read_csv(folder / "plasma_cells.csv")
    total, sheet = DetectionCounts(), []
    for i, (name, rows) in enumerate(marked.groupby("image")):
        with open_slide(folder / str(name), mpp=SEGPC_MPP) as field:
            found = found_in(field, detector)
        corners = rows[["ymin", "xmin", "ymax", "xmax"]].to_numpy(np.float64)
        centres, reach = (corners[:, :2] + corners[:, 2:]) / 2, (corners[:, 2:] - corners[:, :2]) / 2
        total += detection_counts(found.yx, centres, reach)
        if i % 5 == 0 and len(sheet) < SHOWN:
            photo = Image.open(folder / str(name)).convert("RGB").resize(SEGPC_PX)
            plain = Image.new("RGB", SEGPC_PX, "white")
            sheet.append([drawn(picture, found, (centres, reach)) for picture in (photo, plain)])
    print(f"SegPC, marrow: {total.recall:.4f} of {total.both + total.only_marked} plasma cells found")
    for name, pictures in zip(("segpc.jpg", "segpc.png"), zip(*sheet, strict=True), strict=True):
        rows = [np.hstack(pictures[i : i + 4]) for i in range(0, SHOWN, 4)]
        Image.fromarray(np.vstack(rows)).save(name)


def drawn(picture: Image.Image, found: Detections, marked: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Boxes of marked cells (violet where none was found in them); detections as rings with a dot."""
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, 0, picture.width - 1, picture.height - 1], outline=(120, 120, 120))
    hit = set(matches(found.yx, *marked)[:, 1])
    for i, ((y, x), (half_y, half_x)) in enumerate(zip(*marked, strict=True)):
        colour, width = ((170, 170, 170), 1) if i in hit else ((170, 0, 200), 4)
        draw.rectangle([x - half_x, y - half_y, x + half_x, y + half_y], outline=colour, width=width)
    for (y, x), radius in zip(found.yx, found.diameter_um / SEGPC_MPP / 2, strict=True):
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=(0, 140, 0), width=2)
        draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=(230, 120, 0))
    return np.asarray(picture)


def rendered(detector: Detector) -> None:
    total = DetectionCounts()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(10):
            path = Path(folder) / f"{seed}.tif"
            spec = synth.SmearSpec(shape=(1200, 1200), n_cells=120, seed=seed, mpp=0.25, clustered=0.6)
            total += of_slide(path, drain(synth.write_smear(path, spec)), detector)
    show("rendered clusters, 10 seeds", total)


def odd_stains(detector: Detector) -> None:
    total = DetectionCounts()
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, stain) in enumerate(ODD_STAINS.items()):
            path = Path(folder) / f"{seed}.tif"
            spec = synth.SmearSpec(
                shape=(1600, 1600), n_cells=120, seed=500 + seed, mpp=0.25, stain=stain, clustered=0.3
            )
            counts = of_slide(path, drain(synth.write_smear(path, spec)), detector)
            show(f"rendered, red cells {name}", counts)
            total += counts
    show("rendered, five odd stains", total)


def borders(path: Path, detector: Detector) -> None:
    with open_slide(path) as slide:
        found = [found_in(slide, detector, tile_px).yx for tile_px in (512, 256, 1024)]
        reach = np.full_like(found[0], 2.0 / slide.scale()[0])
    for tile_px, other in zip((256, 1024), found[1:], strict=True):
        pairs = matches(other, found[0], reach)
        differ = len(other) + len(found[0]) - 2 * len(pairs)
        print(f"tiles of {tile_px} px against 512: {differ / len(found[0]):.4%} of the cells differ")


def speed(path: Path, detector: Detector) -> None:
    with open_slide(path) as slide:
        height, width = slide.info.shape
        whole = (Region.box("slide", -0.5, -0.5, height - 0.5, width - 0.5),)
        tiles = tiles_of(slide, whole, detector.mpp, TILE_PX, halo_px(detector))
        images = list(prefetch(tiles, lambda tile: read_tile(slide, tile, detector.mpp)[0]))
    with open_slide(path) as slide:
        decode = seconds(prefetch(tiles, lambda tile: read_tile(slide, tile, detector.mpp)))
    detector.detect(images[:1])
    detect = seconds(prefetch(images, lambda image: detector.detect([image])))
    area = height * width * np.prod(np.array(slide.scale()) / detector.mpp) / 1e6
    print(
        f"{area:.1f} Mpx at {detector.mpp} µm/px: decoding {decode:.2f} s, detection {detect:.2f} s "
        f"({detect / decode:.2f} of decoding), {area / detect:.1f} Mpx/s"
    )


def seconds(results: Iterable[object]) -> float:
    start = time.perf_counter()
    for _ in results:
        pass
    return time.perf_counter() - start


def main(arguments: Sequence[str]) -> None:
    name = arguments[0] if arguments else DEFAULT_DETECTOR
    data = Path(arguments[1] if len(arguments) > 1 else "../shared/data")
    detector = named_detector(name, Device.CPU)
    print(detector.name)
    mosaic = data / "slides" / "mosaic"
    for slide in ("blood_40x", "blood_100x"):
        truth = pd.read_csv(mosaic / f"{slide}.truth.csv")
        show(slide, of_slide(mosaic / f"{slide}.svs", truth, detector))
    held_back_fields(data, detector)
    artefacts(data, detector)
    segpc(data, detector)
    rendered(detector)
    odd_stains(detector)
    borders(mosaic / "blood_40x.svs", detector)
    speed(mosaic / "blood_40x.svs", detector)


if __name__ == "__main__":
    main(sys.argv[1:])
