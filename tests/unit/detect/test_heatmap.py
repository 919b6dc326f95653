import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_deepheme import Device, open_slide, synth
from napari_deepheme.classify.bundle import load_bundle
from napari_deepheme.detect.base import LOWEST_SCORE, Detections
from napari_deepheme.detect.bundle import load_detector
from napari_deepheme.detect.choose import DEFAULT_DETECTOR, STAIN, named_detector
from napari_deepheme.detect.heatmap import HeatmapDetector
from napari_deepheme.detect.network import HeatmapNetwork
from napari_deepheme.detect.stain import StainDetector
from napari_deepheme.errors import BundleError
from napari_deepheme.jobs import drain
from napari_deepheme.models.bundle import EMBEDDED, SPEC_FILE, kind_of
from napari_deepheme.models.device import Precision
from napari_deepheme.models.spec import Architecture
from napari_deepheme.models.weights import fused
from napari_deepheme.stats.detection import detection_counts


@pytest.fixture(scope="module")
def detector() -> HeatmapDetector:
    return HeatmapDetector(load_detector(DEFAULT_DETECTOR), Device.CPU)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Clusters of cells at the detector's scale, and the boxes of its cells in px."""
    path = tmp_path_factory.mktemp("crowd") / "crowd.tif"
    spec = synth.SmearSpec(shape=(900, 900), n_cells=60, seed=11, mpp=0.25, clustered=0.8)
    truth = drain(synth.write_smear(path, spec))
    with open_slide(path) as slide:
        image = slide.read((449.5, 449.5), (450, 450), 0.5)
    boxes = truth[["y_px", "x_px", "height_px", "width_px"]].to_numpy(np.float64) / 2
    boxes[:, :2] -= 0.25
    return image, boxes


def cells_in(detector: HeatmapDetector, image: np.ndarray, sample: np.ndarray) -> Detections:
    """What counts as cells in an image of a slide that looks like the sample."""
    return detector.detect([image], detector.calibrate([sample]))[0].above(detector.thresholds.film)


def test_it_finds_cells_in_clusters_each_once(detector, crowd):
    image, boxes = crowd
    found = cells_in(detector, image, image)
    counts = detection_counts(found.yx, boxes[:, :2], boxes[:, 2:] / 2)
    assert counts.f1 > 0.95


def test_positions_and_diameters_are_those_of_the_cells(detector, crowd):
    image, boxes = crowd
    found = cells_in(detector, image, image)
    gap = np.hypot(*(found.yx[:, None] - boxes[None, :, :2]).transpose(2, 0, 1))
    nearest = gap.argmin(axis=1)
    assert np.median(gap.min(axis=1)) * detector.mpp < 1.5
    true_um = np.sqrt(boxes[nearest, 2:].prod(axis=1)) * detector.mpp
    assert np.median(np.abs(found.diameter_um - true_um)) < 2.5


def test_a_picture_of_any_size_keeps_its_cells_where_they_are(detector, crowd):
    image = crowd[0]
    whole = cells_in(detector, image, image)
    part = cells_in(detector, image[16:, 32 : 32 + 301], image)
    assert detector.heatmaps([image[:101, :77]])[0][0].shape == (51, 39)
    inside = (whole.yx[:, 0] > 60) & (whole.yx[:, 1] > 80) & (whole.yx[:, 1] < 290)
    moved = whole.yx[inside] - (16, 32)
    gap = np.hypot(*(moved[:, None] - part.yx[None]).transpose(2, 0, 1)).min(axis=1)
    assert len(moved) > 5
    assert (gap < 1).all()


def test_pictures_are_searched_alike_alone_and_together(crowd, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # more cores would share the pictures out
    image = crowd[0]
    pictures = [image[:200, :200], image[100:300, :200], image[:150, :300], image[200:400, 100:300]]
    together = HeatmapDetector(load_detector(DEFAULT_DETECTOR), Device.CPU, Precision.FP32, 2 * 208**2)
    alone = HeatmapDetector(load_detector(DEFAULT_DETECTOR), Device.CPU, Precision.FP32)
    sizes = []
    network = together._network
    network.register_forward_pre_hook(lambda _, images: sizes.append(tuple(images[0].shape[0:4:2])))
    found = together.detect(pictures, together.calibrate([image]))
    assert sizes == [(2, 208), (1, 208), (1, 160)]
    for each, picture in zip(found, pictures, strict=True):
        own = alone.detect([picture], alone.calibrate([image]))[0]
        np.testing.assert_allclose(each.yx, own.yx, atol=1e-2)
        np.testing.assert_allclose(each.score, own.score, atol=1e-4)


def test_bfloat16_finds_the_same_cells(crowd):
    bundle, image = load_detector(DEFAULT_DETECTOR), crowd[0]
    exact, rough = (
        cells_in(HeatmapDetector(bundle, Device.CPU, precision), image, image)
        for precision in (Precision.FP32, Precision.BF16)
    )
    counts = detection_counts(rough.yx, exact.yx, np.full_like(exact.yx, 2.0))
    assert counts.f1 > 0.97
    assert not np.array_equal(exact.score, rough.score)


def test_glass_holds_no_cell(detector):
    glass = np.full((300, 200, 3), (240, 230, 225), np.uint8)
    assert len(cells_in(detector, glass, glass).score) == 0


def test_overlapping_red_cells_of_another_hue_are_no_cells(detector, tmp_path):
    stain = synth.Stain(red_cell=(170, 170, 190), light=(240, 240, 245), basic=(1.0, 0.95, 1.0))
    spec = synth.SmearSpec(shape=(900, 900), n_cells=30, seed=31, mpp=0.25, stain=stain, clustered=0.3)
    truth = drain(synth.write_smear(tmp_path / "slate.tif", spec))
    with open_slide(tmp_path / "slate.tif") as slide:
        image = slide.read((449.5, 449.5), (450, 450), 0.5)
    found = cells_in(detector, image, image)
    places = (truth[["y_px", "x_px"]].to_numpy(np.float64) + 0.5) / 2 - 0.5
    counts = detection_counts(found.yx, places, truth[["height_px", "width_px"]].to_numpy() / 4)
    assert counts.recall == 1
    assert counts.precision > 0.6


def test_the_slides_white_is_taken_and_nothing_of_it_is_kept(detector, crowd):
    image = crowd[0]
    dim = (image * 0.6).astype(np.uint8)
    assert np.allclose(
        detector.calibrate([dim]).white, np.array(detector.calibrate([image]).white) * 0.6, atol=2
    )
    before = cells_in(detector, image, image)
    assert len(cells_in(detector, dim, dim).score) == pytest.approx(len(before.score), abs=3)
    np.testing.assert_array_equal(cells_in(detector, image, image).yx, before.yx)


def test_fainter_finds_are_kept_so_that_the_threshold_can_be_moved(detector, crowd):
    image = crowd[0]
    (every,) = detector.detect([image], detector.calibrate([image]))
    assert LOWEST_SCORE <= every.score.min() < detector.thresholds.crowded < detector.thresholds.film
    assert len(every.above(0.5).score) < len(every.score)


def test_normalisation_taken_into_the_convolutions_changes_nothing():
    torch.manual_seed(0)
    network = HeatmapNetwork(Architecture(name="regnetx_002"), 16)
    images = torch.randn(2, 3, 64, 64)
    network(images)  # running statistics that are not those of the start
    network.eval()
    with torch.inference_mode():
        before = network(images)
        after = fused(network)(images)
    assert before.shape == (2, 2, 32, 32)
    assert torch.allclose(before, after, atol=1e-4)
    assert not any(
        isinstance(module, torch.nn.BatchNorm2d) and type(module) is torch.nn.BatchNorm2d
        for module in network.modules()
    )


def test_an_encoder_timm_does_not_know_is_refused():
    with pytest.raises(BundleError, match="no network 'no_such_network'"):
        HeatmapNetwork(Architecture(name="no_such_network"), 16)


def test_detectors_are_named(detector):
    assert isinstance(named_detector(STAIN, Device.CPU), StainDetector)
    found = named_detector(DEFAULT_DETECTOR, Device.CPU)
    assert isinstance(found, HeatmapDetector)
    assert found.name == f"{detector.spec.name} {detector.spec.version}"


def test_a_classifier_is_no_detector_and_a_detector_no_classifier(toy_bundle_folder):
    assert kind_of(DEFAULT_DETECTOR) == "detector"
    with pytest.raises(BundleError, match="holds a classifier; expected a detector"):
        load_detector(toy_bundle_folder)
    with pytest.raises(BundleError, match="holds a detector; expected a classifier"):
        load_bundle(DEFAULT_DETECTOR)


def test_a_build_that_draws_another_heatmap_is_refused(tmp_path):
    folder = Path(shutil.copytree(EMBEDDED / DEFAULT_DETECTOR, tmp_path / "other"))
    spec = json.loads((folder / SPEC_FILE).read_text())
    spec["self_test"]["expected"][3] += 0.1
    (folder / SPEC_FILE).write_text(json.dumps(spec))
    with pytest.raises(BundleError, match=r"self-test differs from the expected heatmap by 0\.1"):
        HeatmapDetector(load_detector(folder), Device.CPU)


def test_weights_of_another_network_are_refused(tmp_path):
    folder = Path(shutil.copytree(EMBEDDED / DEFAULT_DETECTOR, tmp_path / "other"))
    spec = json.loads((folder / SPEC_FILE).read_text())
    (folder / SPEC_FILE).write_text(json.dumps(spec | {"width": spec["width"] + 8}))
    with pytest.raises(BundleError, match="do not fit"):
        HeatmapDetector(load_detector(folder), Device.CPU)
