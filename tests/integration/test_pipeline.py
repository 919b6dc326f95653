"""The path from a slide file to a table, with the toy bundle on a rendered smear."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from PIL import Image
from skimage.draw import disk

from napari_deepheme import (
    Analysis,
    AnalysisOptions,
    AssessmentOptions,
    Device,
    RunOptions,
    Slide,
    analyse,
    cells_table,
    drain,
    open_slide,
    synth,
)
from napari_deepheme.analysis.locate import SearchSource, Unit, halo_px, tiles_of
from napari_deepheme.analysis.prepare import whole
from napari_deepheme.analysis.result import CellsReady, NoticeKind
from napari_deepheme.cells import Cells, Region
from napari_deepheme.classify.stain import StainColours
from napari_deepheme.detect.base import Detector, DetectorCalibration
from napari_deepheme.detect.choose import DEFAULT_DETECTOR, STAIN, named_detector
from napari_deepheme.errors import OptionError, ScaleError
from napari_deepheme.models.device import Precision
from napari_deepheme.models.runner import Runner

EVERYTHING = AnalysisOptions(target_cells=0)


def cells_of(analysis: Analysis) -> Cells:
    return analysis.counting().cells


@pytest.fixture(scope="module")
def truth(smear_path: Path) -> pd.DataFrame:
    return pd.read_csv(smear_path.with_suffix("").with_suffix(".truth.csv"))


def matched(found: np.ndarray, truth: pd.DataFrame) -> int:
    """How many true boxes hold exactly one centre."""
    y, x = found.T[:, :, None]
    inside = (abs(y - truth["y_px"].to_numpy()) <= truth["height_px"].to_numpy() / 2) & (
        abs(x - truth["x_px"].to_numpy()) <= truth["width_px"].to_numpy() / 2
    )
    return int((inside.sum(axis=0) == 1).sum())


def test_every_rendered_cell_is_found_once_and_nothing_else(smear_path, truth, toy_bundle):
    with open_slide(smear_path) as slide:
        analysis = drain(analyse(slide, toy_bundle, EVERYTHING))
    found = cells_of(analysis)
    assert matched(found.yx, truth) == len(truth) == len(found)
    assert len(analysis.raw) == len(analysis.cells) == len(analysis.ids)


def searched(slide: Slide, detector: Detector, tile_px: int) -> np.ndarray:
    """Centres of the cells of a whole slide that is searched in tiles."""
    regions = (whole(slide),)
    tiles = tiles_of(slide, regions, detector.mpp, tile_px, halo_px(detector))
    units = [Unit(str(i), tile) for i, tile in enumerate(tiles)]
    source = SearchSource(slide, detector, DetectorCalibration(), regions, units)
    found = Cells.concatenate([each.cells for each in source.located({})])
    return found.yx[found.score >= detector.thresholds.film]


@pytest.mark.parametrize("tile_px", [128, 256, 512])
@pytest.mark.parametrize("name", [STAIN, DEFAULT_DETECTOR])
def test_tile_borders_neither_lose_nor_double_a_cell(smear_path, name, tile_px):
    detector = named_detector(name, Device.CPU)
    with open_slide(smear_path) as slide:
        once, tiled = (searched(slide, detector, px) for px in (1024, tile_px))
    gap = np.hypot(*(once[:, None] - tiled[None]).transpose(2, 0, 1))
    assert len(once) == len(tiled)
    assert gap.min(axis=1).max() <= 2.01  # half a micrometre, at borders


def test_batches_and_precision_hold_for_both_networks(smear_path, toy_bundle, monkeypatch):
    runs: list[tuple[torch.dtype, int]] = []
    real = Runner.run

    def spy(self, images, function):
        runs.append((self.dtype, images.shape[1]))
        return real(self, images, function)

    found = []
    for precision, batch_size in ((Precision.FP32, 64), (Precision.BF16, 256)):
        how = RunOptions(Device.CPU, precision, batch_size)
        monkeypatch.setattr(Runner, "run", spy)
        with open_slide(smear_path) as slide:
            found.append(drain(analyse(slide, toy_bundle, EVERYTHING, run=how)))
        dtype = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}[precision]
        assert {run for run, _ in runs} == {dtype}
        assert {px == toy_bundle.spec.input_px for _, px in runs} == {True, False}  # crops and tiles
        runs.clear()
    exact, rough = found
    places = [cells_of(each).yx[np.lexsort(cells_of(each).yx.round().T)] for each in (exact, rough)]
    np.testing.assert_allclose(*places, atol=1.5)


def test_tiles_searched_together_give_the_same_cells(smear_path):
    counts = []
    for batch_px in (0, 8 * 192**2):
        detector = named_detector(DEFAULT_DETECTOR, Device.CPU, Precision.FP32, batch_px)
        with open_slide(smear_path) as slide:
            counts.append(searched(slide, detector, 128))
    np.testing.assert_allclose(*counts, atol=0.02)


def test_the_same_smear_scanned_finer_gives_the_same_cells(tmp_path, toy_bundle):
    counts = []
    for mpp, side in ((0.25, 800), (0.125, 1600)):
        path = tmp_path / f"{side}.svs"
        truth = drain(
            synth.write_smear(path, synth.SmearSpec(shape=(side, side), n_cells=12, seed=3, mpp=mpp))
        )
        with open_slide(path) as slide:
            found = cells_of(drain(analyse(slide, toy_bundle, EVERYTHING))).yx
        counts.append((matched(found, truth), len(found)))
    assert [right for right, _ in counts] == [12, 12]
    assert max(found for _, found in counts) <= 13  # one cell in a hundred found is none


def test_the_parts_reported_on_the_way_are_the_result(smear_path, toy_bundle):
    parts = []
    with open_slide(smear_path) as slide:
        job = analyse(slide, toy_bundle, EVERYTHING)
        while True:
            try:
                progress = next(job)
            except StopIteration as stop:
                whole = cells_table(stop.value)
                break
            if isinstance(progress, CellsReady) and progress.found is not None:
                parts.append(cells_table(progress.found))
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)


def test_a_count_stops_at_its_target_and_is_the_beginning_of_the_whole(smear_path, toy_bundle):
    with open_slide(smear_path) as slide:
        whole = cells_table(drain(analyse(slide, toy_bundle, EVERYTHING)))
        target = int((whole["class"] != "U1").sum()) // 2
        height, width = slide.info.shape
        region = Region.box("slide", -0.5, -0.5, height - 0.5, width - 0.5)
        options = AnalysisOptions(target_cells=max(target, 1), regions=(region,))
        some = cells_table(drain(analyse(slide, toy_bundle, options)))
    counted = (some["class"] != "U1").sum()
    assert target <= counted < target + 40  # the tile in which the target is met is counted whole
    pd.testing.assert_frame_equal(some, whole.iloc[: len(some)], check_exact=False, atol=1e-4)


def test_cells_outside_the_regions_are_left_alone_and_the_first_region_names_them(
    smear_path, truth, toy_bundle
):
    left = Region.box("left", 0, 0, 1536, 640)
    band = Region.box("band", 0, 500, 1536, 700)
    with open_slide(smear_path) as slide:
        options = AnalysisOptions(target_cells=0, regions=(left, band))
        table = cells_table(drain(analyse(slide, toy_bundle, options)))
    assert table["x_px"].max() < 700
    assert set(table.loc[table["x_px"] < 640, "region"]) == {"left"}
    assert set(table.loc[table["x_px"] >= 640, "region"]) <= {"band"}
    assert len(table) == pytest.approx((truth["x_px"] < 700).sum(), abs=2)


def test_a_region_off_the_slide_has_no_cells(smear_path, toy_bundle):
    with open_slide(smear_path) as slide:
        options = AnalysisOptions(target_cells=0, regions=(Region.box("off", 5000, 5000, 6000, 6000),))
        assert len(cells_table(drain(analyse(slide, toy_bundle, options)))) == 0


def test_a_slide_without_its_scale_is_a_question_not_a_guess(tmp_path, toy_bundle):
    Image.new("RGB", (300, 200), "white").save(tmp_path / "field.png")
    with open_slide(tmp_path / "field.png") as slide, pytest.raises(ScaleError, match="--mpp"):
        drain(analyse(slide, toy_bundle))


def test_closing_a_running_analysis_stops_its_readers(smear_path, toy_bundle):
    with open_slide(smear_path) as slide:
        job = analyse(slide, toy_bundle, EVERYTHING)
        while not isinstance(next(job), CellsReady):
            pass
        job.close()
        assert not [t for t in threading.enumerate() if t.name.startswith("deepheme-read")]


def test_a_coarse_slide_is_warned_about(smear_path, toy_bundle):
    with open_slide(smear_path, mpp=0.45) as slide:
        assert any("0.45" in notice.text for notice in drain(analyse(slide, toy_bundle)).notices)


def test_options_out_of_range_are_refused():
    with pytest.raises(OptionError, match="below zero"):
        AnalysisOptions(target_cells=-1)
    with pytest.raises(OptionError, match="Batch size"):
        RunOptions(batch_size=0)


def test_a_cell_cut_by_the_edge_of_the_slide_is_found_on_the_slide(tmp_path, toy_bundle):
    field = np.full((400, 500, 3), (250, 230, 205), np.uint8)
    rows, columns = disk((2, 250), 18, shape=field.shape[:2])
    field[rows, columns] = (85, 55, 120)
    Image.fromarray(field).save(tmp_path / "field.png")
    with open_slide(tmp_path / "field.png", mpp=0.25) as slide:
        found = cells_of(drain(analyse(slide, toy_bundle, EVERYTHING))).yx
    # between the middle of the whole cell, at 2, and of what is seen of it, at 8
    np.testing.assert_allclose(found, [[6, 250]], atol=5)


HOME = StainColours(glass=(0.05, 0.1, 0.2), red_cell=(0.2, 0.3, 0.2), nucleus=(1.2, 1.8, 0.5))


@pytest.fixture
def matching_bundle(toy_bundle):
    return replace(toy_bundle, spec=toy_bundle.spec.model_copy(update={"stain": HOME}))


def recoloured(smear_path: Path, folder: Path) -> Path:
    """The same smear under another lamp and half as deeply stained."""
    pixels = tifffile.imread(smear_path, level=0).astype(float)
    other = 255 * (pixels / 255) ** 0.5 * [0.85, 0.9, 0.95]
    path = folder / "pale.tif"
    tifffile.imwrite(path, other.astype(np.uint8), tile=(256, 256), photometric="rgb")
    return path


def test_a_pale_slide_is_called_as_the_same_slide_well_stained(smear_path, matching_bundle, tmp_path):
    called = {}
    for match_stain in (True, False):
        options = replace(EVERYTHING, match_stain=match_stain)
        for path in (smear_path, recoloured(smear_path, tmp_path)):
            with open_slide(path, mpp=0.25) as slide:
                analysis = drain(analyse(slide, matching_bundle, options))
            assert (analysis.facts.calibration.stain is not None) is match_stain
            assert not analysis.notices
            counting = analysis.counting()
            order = np.lexsort(counting.cells.yx.round().T)
            called[match_stain, path.stem] = counting.assessed().probabilities[order]
    off = {
        match: np.abs(called[match, "smear"] - called[match, "pale"]).mean()
        if called[match, "smear"].shape == called[match, "pale"].shape
        else np.inf
        for match in (True, False)
    }
    assert off[True] < 0.5 * off[False]


def test_a_slide_without_red_cells_to_measure_the_stain_on_says_so(matching_bundle, tmp_path):
    field = np.full((600, 600, 3), (250, 230, 205), np.uint8)
    rows, columns = disk((300, 300), 18)
    field[rows, columns] = (85, 55, 120)
    Image.fromarray(field).save(tmp_path / "single.png")
    with open_slide(tmp_path / "single.png", mpp=0.25) as slide:
        analysis = drain(analyse(slide, matching_bundle, EVERYTHING))
    assert analysis.facts.calibration.stain is None
    assert [notice.kind for notice in analysis.notices if notice.kind is NoticeKind.STAIN]


def test_the_stain_is_that_of_the_slide_whatever_region_is_asked_for(smear_path, matching_bundle):
    region = Region.box("corner", 0, 0, 500, 500)
    with open_slide(smear_path) as slide:
        whole = cells_table(drain(analyse(slide, matching_bundle, EVERYTHING)))
        part = cells_table(drain(analyse(slide, matching_bundle, replace(EVERYTHING, regions=(region,)))))
    both = part.merge(whole, on=["x_px", "y_px"], suffixes=("", "_whole"))
    assert len(both) == len(part) > 0
    np.testing.assert_allclose(both["confidence"], both["confidence_whole"], atol=1e-4)


@pytest.fixture
def bundle_with_prior(toy_bundle):
    return replace(toy_bundle, spec=toy_bundle.spec.model_copy(update={"class_prior": (1 / 11,) * 11}))


def test_the_class_prior_is_that_of_the_slide_whatever_region_is_asked_for_and_off_by_a_switch(
    smear_path, bundle_with_prior
):
    region = Region.box("corner", 0, 0, 500, 500)
    with open_slide(smear_path) as slide:
        whole_slide, part = (
            drain(analyse(slide, bundle_with_prior, options))
            for options in (EVERYTHING, replace(EVERYTHING, regions=(region,)))
        )
    prior = whole_slide.facts.calibration.class_prior
    assert prior == part.facts.calibration.class_prior
    assert np.ptp(prior) > 0.001
    most = int(np.argmax(prior))
    on, off = (
        whole_slide.assessed(AssessmentOptions(match_prior=match)).probabilities[:, most].mean()
        for match in (True, False)
    )
    assert on > off


def test_the_class_prior_of_given_cells_is_their_own(smear_path, bundle_with_prior):
    with open_slide(smear_path) as slide:
        found = drain(analyse(slide, bundle_with_prior, EVERYTHING))
        one = replace(EVERYTHING, cells=found.cells.take(slice(0, 1)))
        alone = drain(analyse(slide, bundle_with_prior, one))
    np.testing.assert_allclose(alone.facts.calibration.class_prior, 1 / 11, atol=0.011)
    assert np.ptp(found.facts.calibration.class_prior) > np.ptp(alone.facts.calibration.class_prior)
