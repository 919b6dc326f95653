import tomllib
from dataclasses import replace

import numpy as np
import pytest

from napari_deepheme.adapt import AdaptOptions, Grouping, LabelledCells, adapt
from napari_deepheme.adapt.sources import LabelledImages
from napari_deepheme.classify.bundle import Head, load_bundle
from napari_deepheme.classify.ensemble import Ensemble
from napari_deepheme.errors import BundleError, OptionError
from napari_deepheme.jobs import drain
from napari_deepheme.models.device import Precision
from napari_deepheme.stats.assessment import calibrated


@pytest.fixture(scope="module")
def cells(labelled_folder, toy_bundle) -> LabelledCells:
    return drain(LabelledImages(labelled_folder, 0.25).read(toy_bundle.spec))


@pytest.fixture(scope="module")
def adapted(cells, toy_bundle, tmp_path_factory):
    return drain(adapt(toy_bundle, cells, AdaptOptions(tmp_path_factory.mktemp("out") / "mine")))


def test_labels_become_a_bundle_that_verifies_and_names_its_parent(adapted, toy_bundle):
    spec = adapted.bundle.spec
    Ensemble(load_bundle(adapted.bundle.root))  # the self-test
    assert spec.name == "mine"
    assert (spec.parent.name, spec.parent.version) == ("toy", "1")
    assert spec.parent.members == tuple(member.sha256 for member in toy_bundle.spec.members)
    assert spec.taxonomy.codes == (*toy_bundle.spec.taxonomy.codes, "L4")
    record = tomllib.loads(adapted.bundle.read("adaptation.toml").decode())
    assert record["labels"] == {"E4": 8, "L2": 8, "L4": 8}


def test_it_knows_the_labelled_cells_and_the_networks_are_as_they_were(adapted, cells, toy_bundle):
    ensemble = Ensemble(adapted.bundle, precision=Precision.FP32)
    codes = np.array(adapted.bundle.spec.taxonomy.codes)
    called = codes[calibrated(ensemble.run(cells.crops), adapted.bundle.spec.calibration).argmax(axis=1)]
    wanted = [{"LY": "L2", "EO": "E4", "PLM": "L4"}[label] for label in cells.labels]
    assert (called == wanted).mean() > 0.9
    assert adapted.improved
    assert adapted.after["accuracy"].value > adapted.before["accuracy"].value
    before = Ensemble(toy_bundle, precision=Precision.FP32).features(cells.crops)
    np.testing.assert_allclose(ensemble.features(cells.crops), before, atol=2e-2)


def test_the_card_says_what_was_learned_from_whom_and_what_it_cannot_promise(adapted, labelled_folder):
    card = adapted.bundle.card
    for words in ("Research use only", "toy 1", "Plasma cell (new)", "cross-validation is by image", "95 %"):
        assert words in card
    assert str(labelled_folder.parent) not in card
    assert any("Fewer than 20 labels" in notice for notice in adapted.notices)


def test_labels_that_say_nothing_leave_the_parents_last_layer_with_a_word(toy_bundle, tmp_path):
    rng = np.random.default_rng(1)
    crops = rng.integers(0, 255, (40, 96, 96, 3), np.uint8)
    raw = Ensemble(toy_bundle, precision=Precision.FP32).run(crops)
    called = calibrated(raw, toy_bundle.spec.calibration).argmax(axis=1)
    # what the parent says already, of cells that it tells apart
    labels = np.array(toy_bundle.spec.taxonomy.codes)[called]
    kept = [i for i in range(40) if (labels == labels[i]).sum() >= 3]
    names = tuple(map(str, kept))
    cells = LabelledCells(
        crops[kept], tuple(labels[kept]), names, names, Grouping.IMAGE, ("one",) * len(kept)
    )
    if len(set(cells.labels)) == 1:
        with pytest.raises(OptionError, match="which the model knows"):
            drain(adapt(toy_bundle, cells, AdaptOptions(tmp_path / "same")))
        return
    same = drain(adapt(toy_bundle, cells, AdaptOptions(tmp_path / "same")))
    assert same.after["accuracy"].value >= same.before["accuracy"].value


def test_a_parent_that_cannot_be_adapted_and_a_folder_in_use_are_refused(cells, toy_bundle, tmp_path):
    sigmoid = replace(toy_bundle, spec=toy_bundle.spec.model_copy(update={"head": Head.SIGMOID}))
    with pytest.raises(BundleError, match="cannot be adapted"):
        drain(adapt(sigmoid, cells, AdaptOptions(tmp_path / "out")))
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("")
    with pytest.raises(OptionError, match="is there already"):
        drain(adapt(toy_bundle, cells, AdaptOptions(tmp_path / "used")))


def test_patients_are_kept_whole_and_counted(cells, toy_bundle, tmp_path):
    patients = tuple("abcd"[i % 4] for i in range(len(cells)))
    known = LabelledCells(cells.crops, cells.labels, cells.names, patients, Grouping.PATIENT, patients)
    made = drain(adapt(toy_bundle, known, AdaptOptions(tmp_path / "byPatient")))
    assert made.bundle.spec.training.split == "cross-validation by patient (4)"
    assert not any("optimistic" in notice for notice in made.notices)
    one = LabelledCells(cells.crops, cells.labels, cells.names, ("a",) * 24, Grouping.PATIENT, ("a",) * 24)
    alone = drain(adapt(toy_bundle, one, AdaptOptions(tmp_path / "one")))
    assert any("All cells are of one patient" in notice for notice in alone.notices)
