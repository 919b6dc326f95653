import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load, save_file

from napari_deepheme import synth
from napari_deepheme.datasets.fields import FIELD_MPP, read_fields, read_marks
from napari_deepheme.detect.base import Detections, DetectorCalibration
from napari_deepheme.detect.bundle import DetectorBundle, load_detector
from napari_deepheme.detect.heatmap import HeatmapDetector
from napari_deepheme.detect.network import HeatmapNetwork
from napari_deepheme.errors import OptionError
from napari_deepheme.jobs import drain
from napari_deepheme.models.bundle import CARD_FILE
from napari_deepheme.models.device import Device
from napari_deepheme.models.spec import Architecture
from napari_deepheme.stats.detection import DetectionCounts
from napari_deepheme.train import detector_bundle, heatmap, scenes
from napari_deepheme.train.detector import DetectorOptions, held_back, train_detector
from napari_deepheme.train.heatmap import DetectorRecipe, detection_loss, learn
from napari_deepheme.train.scenes import Scenes
from napari_deepheme.train.state import read_state

TINY = DetectorRecipe(architecture=Architecture(name="test_resnet"), width=8, steps=6, batch_size=2)


@pytest.fixture(scope="module")
def marks(tmp_path_factory) -> Path:
    """Six rendered fields with the boxes of all their cells; the files say their µm/px."""
    folder, tables = tmp_path_factory.mktemp("fields"), []
    for seed in range(6):
        image = folder / f"field-{seed}.svs"
        truth = drain(synth.write_smear(image, synth.SmearSpec((240, 240), n_cells=8, seed=seed, mpp=0.4)))
        y, x, half_y, half_x = truth.y_px, truth.x_px, truth.height_px / 2, truth.width_px / 2
        columns = {"xmin": x - half_x, "ymin": y - half_y, "xmax": x + half_x, "ymax": y + half_y}
        tables.append(pd.DataFrame({"image": image.name, **columns}))
    pd.concat(tables).to_csv(folder / "marks.csv", index=False)
    return folder / "marks.csv"


def few_and_small(patch: pytest.MonkeyPatch) -> None:
    """Scenes that take no time."""
    patch.setattr(detector_bundle, "_SCENES", 8)
    patch.setattr(scenes, "SCENE_PX", 96)


@pytest.fixture
def options(marks, tmp_path, monkeypatch) -> DetectorOptions:
    few_and_small(monkeypatch)
    return DetectorOptions(marks, tmp_path / "mine", recipe=TINY, device=Device.CPU)


@pytest.fixture(scope="module")
def trained(marks, tmp_path_factory) -> tuple[DetectorOptions, DetectorBundle]:
    """What the options of these tests make, made once."""
    options = DetectorOptions(
        marks, tmp_path_factory.mktemp("whole") / "mine", recipe=TINY, device=Device.CPU
    )
    with pytest.MonkeyPatch.context() as patch:
        few_and_small(patch)
        return options, drain(train_detector(options))


def killed(options: DetectorOptions, at_step: int) -> None:
    """Begin a training and drop it."""
    job = train_detector(options)
    for progress in job:
        if progress.stage == "Training" and progress.done >= at_step:
            job.close()
            return
    raise AssertionError("the training ended before it could be killed")


def test_marked_fields_become_a_bundle_that_verifies_and_tells_where_it_comes_from(trained, marks):
    options, _ = trained
    bundle = load_detector(options.out)
    detector = HeatmapDetector(bundle, Device.CPU)  # the self-test
    found = detector.detect([np.full((64, 64, 3), 200, np.uint8)])[0]
    assert found.yx.shape[1] == 2
    spec = bundle.spec
    assert (spec.name, spec.kind, spec.width, spec.mpp) == ("mine", "detector", 8, 0.5)
    assert "5 fields to learn from, 1 held back" in spec.training.split
    metrics = spec.training.metrics
    assert metrics["cells, fields"] == 8
    assert metrics["cells, crowded scenes"] > 0
    assert all(0 <= metrics[f"{name}, fields"] <= 1 for name in ("recall", "f1"))
    card = bundle.read(CARD_FILE).decode()
    assert "Research use only" in card
    assert "6 fields of marks.csv" in card
    assert str(marks.parent) not in card
    assert not options.out.with_name("mine.training").exists()
    assert not options.out.with_name("mine.partial").exists()


@pytest.mark.parametrize("at_step", [1, 3])
def test_a_training_that_was_killed_goes_on_to_the_same_weights(trained, options, monkeypatch, at_step):
    monkeypatch.setattr(heatmap, "_SAVE_EVERY", 2)
    monkeypatch.setattr(heatmap, "_REPORT_EVERY", 1)
    whole = trained[1]
    killed(options, at_step)
    state = options.out.with_name("mine.training") / "state.pt"
    assert state.exists() == (at_step >= 2)
    resumed = drain(train_detector(replace(options, resume=True)))
    file = whole.spec.members[0].file
    assert resumed.read(file) == whole.read(file)
    assert resumed.spec.threshold == whole.spec.threshold
    assert resumed.spec.training.metrics == whole.spec.training.metrics


def test_an_unfinished_training_is_not_overwritten(options, monkeypatch):
    monkeypatch.setattr(heatmap, "_REPORT_EVERY", 1)
    killed(options, 1)
    with pytest.raises(OptionError, match="add --resume, or remove"):
        drain(train_detector(options))


def test_a_bundle_is_not_overwritten(options):
    options.out.mkdir()
    (options.out / "bundle.json").write_text("{}")
    with pytest.raises(OptionError, match="is there already"):
        drain(train_detector(options))


def test_too_few_different_images_are_refused_before_any_work(options, marks, tmp_path):
    table = pd.read_csv(marks)
    few = marks.with_name("few.csv")
    table[table.image.isin(sorted(set(table.image))[:4])].to_csv(few, index=False)
    with pytest.raises(OptionError, match="4 different images are marked; a detector needs at least 5"):
        drain(train_detector(replace(options, dataset=few)))
    assert list(tmp_path.iterdir()) == []


def test_copies_of_an_image_stay_on_one_side_and_count_once():
    groups = np.array([0, 0, 1, 2, 3, 4, 4, 4])
    for seed in range(8):
        held = held_back(groups, seed)
        assert held.any()
        assert not set(groups[held]) & set(groups[~held])
    with pytest.raises(OptionError, match="4 different images"):
        held_back(np.array([0, 1, 2, 3, 3, 3]), 0)


def test_where_no_cell_is_left_to_measure_by_the_seed_is_named_as_a_way_out(options, marks):
    table = pd.read_csv(marks)
    names = sorted(set(table.image))
    empty = names[int(np.flatnonzero(held_back(np.arange(6), 0))[0])]
    table["label"] = np.where(table.image == empty, "rbc", "wbc")
    table.to_csv(marks.with_name("one-empty.csv"), index=False)
    with pytest.raises(OptionError, match=r"no cell is marked in the fields held back.*--seed"):
        drain(train_detector(replace(options, dataset=marks.with_name("one-empty.csv"))))


def test_what_is_found_in_an_unsure_part_is_not_held_against_the_detector(marks):
    class Everywhere:
        mpp = FIELD_MPP

        def calibrate(self, _images):
            return DetectorCalibration()

        def detect(self, _images, _calibration):
            yx = np.array([[20.0, 20.0], [60.0, 60.0], [90.0, 90.0]])
            return [Detections(yx, np.full(3, 12.0, np.float32), np.ones(3, np.float32))]

    (first, *_) = drain(read_fields(read_marks(marks, None)))
    boxes = np.array([[20, 20, 10, 10], [60, 60, 10, 10]], np.float32)
    sure = replace(first, cells=boxes[:1])
    for field, found_only in ((sure, 2), (replace(sure, unsure=boxes), 1)):
        looked = detector_bundle._on_field(Everywhere(), field)
        assert looked.counts(0.5) == DetectionCounts(both=1, only_found=found_only, only_marked=0)


def test_an_image_that_cannot_be_read_is_left_out_and_named_in_the_card(options, marks):
    table = pd.read_csv(marks)
    with_gone = pd.concat([table, table.iloc[:1].assign(image="gone.png")])
    with_gone.to_csv(marks.with_name("gone.csv"), index=False)
    recipe = replace(TINY, steps=1)
    bundle = drain(train_detector(replace(options, dataset=marks.with_name("gone.csv"), recipe=recipe)))
    assert re.search(r"Left out, unreadable: .*gone\.png", bundle.card)


def test_training_starts_from_a_file_of_weights(options, tmp_path):
    torch.manual_seed(9)
    start = {k: v.contiguous() for k, v in HeatmapNetwork(TINY.architecture, 8).state_dict().items()}
    file = tmp_path / "start.safetensors"
    save_file(start, file)
    still = replace(TINY, start=str(file), rate=1e-12, weight_decay=0.0, steps=1)
    bundle = drain(train_detector(replace(options, recipe=still)))
    learned = load(bundle.read(bundle.spec.members[0].file))
    assert torch.equal(learned["decoder.2.weight"], start["decoder.2.weight"].half())
    # what a bundle holds is a file to start from, too
    again = replace(still, start=str(options.out / bundle.spec.members[0].file))
    drain(train_detector(replace(options, out=tmp_path / "again", recipe=again)))


def test_weights_that_cannot_be_used_are_said_in_a_sentence(options, tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    for file, message in (
        (other, "not the weights of this detector"),
        ("no.pth", "cannot be read as weights"),
    ):
        recipe = replace(TINY, start=str(file))
        with pytest.raises(OptionError, match=message) as error:
            drain(train_detector(replace(options, out=tmp_path / "out", recipe=recipe)))
        assert "\n" not in str(error.value)


def test_a_network_learns_what_easy_fields_show(marks, tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "SCENE_PX", 96)
    fields = drain(read_fields(read_marks(marks, None)))
    recipe = replace(TINY, width=16, steps=40, batch_size=4, rate=0.02)
    drain(learn(fields, recipe, tmp_path, (0, Device.CPU)))
    losses = read_state(tmp_path / "state.pt", torch.device("cpu"))["losses"]
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def one_cell(*, counts: bool = True, diameter_um: float = 12.0) -> Scenes:
    heat = torch.zeros(1, 8, 8)
    heat[0, 4, 4], heat[0, 4, 5] = 1.0, 0.5
    size = torch.full((1, 8, 8), torch.nan)
    size[0, 4, 4] = np.log(diameter_um)
    return Scenes(torch.ones(1, 3, 16, 16), heat, size, torch.full((1, 8, 8), counts))


def outputs(at: tuple[int, int] = (4, 4), *, sure: float = 4.0, diameter_um: float = 12.0) -> torch.Tensor:
    logits = torch.full((1, 2, 8, 8), -sure)
    logits[0, 0][at] = sure
    logits[0, 1] = np.log(diameter_um)
    return logits


def test_the_loss_falls_towards_the_right_place_certainty_and_size():
    right = detection_loss(outputs(), one_cell())
    assert right < 0.01
    assert detection_loss(outputs((0, 0)), one_cell()) > 1
    assert right < detection_loss(outputs(sure=2), one_cell()) < detection_loss(outputs(sure=0), one_cell())
    too_large = [detection_loss(outputs(diameter_um=um), one_cell()) for um in (12, 14, 20)]
    assert too_large == sorted(too_large)
    assert too_large[0] < too_large[1]


def test_beside_a_centre_a_peak_costs_less_than_far_from_it():
    assert detection_loss(outputs((4, 5)), one_cell()) < detection_loss(outputs((0, 0)), one_cell())


def test_what_does_not_count_costs_nothing():
    doubtful = one_cell()
    doubtful.counts[0, 0, 0] = False
    alone, with_doubtful = outputs(), outputs()
    with_doubtful[0, 0, 0, 0] = 9.0
    assert detection_loss(with_doubtful, doubtful) == detection_loss(alone, doubtful)
    assert detection_loss(with_doubtful, one_cell()) > detection_loss(with_doubtful, doubtful) + 1


def test_scenes_without_a_cell_or_a_size_have_a_loss():
    one = one_cell()
    unknown = torch.full_like(one.heat, torch.nan)
    nothing = Scenes(one.images, torch.zeros_like(one.heat), unknown, one.counts)
    assert torch.isfinite(detection_loss(outputs(), nothing))
    assert detection_loss(torch.full((1, 2, 8, 8), -9.0), nothing) < 1e-3
