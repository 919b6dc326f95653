import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_deepheme.datasets.folders import read_crop
from napari_deepheme.errors import OptionError, ScaleError, SlideError, TableError, TaxonomyError
from napari_deepheme.evaluate.evaluate import EvaluateOptions, evaluate, read_predictions
from napari_deepheme.jobs import drain
from napari_deepheme.stats.evaluation import Evaluation

PROBABILITIES = """\tM2\tM3\tL2
a.png\t0.7\t0.2\t0.1
b.png\t0.6\t0.3\t0.1
c.png\t0.1\t0.2\t0.7
d.png\t0.25\t0.6\t0.15
"""
ONE_HOT = """\tM2\tM3\tL2
d.png\t0.0\t1.0\t0.0
c.png\t0.0\t0.0\t1.0
b.png\t0.0\t1.0\t0.0
a.png\t1.0\t0.0\t0.0
"""
NAMES = "image,class\na.png,PMY\nb.png,Myelocyte\nc.png,L2\nd.png,MYB\n"


@pytest.fixture
def write(tmp_path):
    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def evaluated(**options: object) -> Evaluation:
    return drain(evaluate(EvaluateOptions(replicates=20, **options)))


def paint(path: Path, side: int = 120, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("truth", [ONE_HOT, NAMES], ids=["one-hot", "class names"])
def test_published_tables_are_judged_whatever_the_order_of_their_rows(write, truth):
    found = evaluated(predictions=write("p.tsv", PROBABILITIES), truth=write("t.tsv", truth))
    assert found.n == 4
    assert found.scores["accuracy"] == 0.75
    assert found.scores["tolerant_accuracy"] == 1.0
    assert found.counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert found.members == ()


def test_a_class_keeps_the_name_its_table_gives_it_and_the_line_it_belongs_to(write):
    predictions = write("p.csv", PROBABILITIES.replace("M2", "PMY").replace("M3", "MY").replace("\t", ";"))
    found = evaluated(predictions=predictions, truth=write("t.csv", NAMES))
    assert found.taxonomy.codes == ("PMY", "MY", "L2")
    assert found.scores["tolerant_accuracy"] == 1.0


def test_a_class_no_preset_knows_is_judged_all_the_same(write):
    predictions = write("p.tsv", PROBABILITIES.replace("L2", "Unicorn"))
    found = evaluated(predictions=predictions, truth=write("t.csv", NAMES.replace("L2", "Unicorn")))
    assert found.scores["accuracy"] == 0.75


def test_truth_in_coarser_classes_joins_the_probabilities(write):
    predictions = write("p.csv", "image,ER2,ER3,ER4,L2\na,0.3,0.2,0.1,0.4\nb,0.1,0.1,0.1,0.7\n")
    found = evaluated(predictions=predictions, truth=write("t.csv", "image,class\na,EBO\nb,LYT\n"))
    assert found.taxonomy.codes == ("EBO", "L2")
    assert found.scores["accuracy"] == 1.0


def test_an_image_that_comes_twice_is_matched_in_order(write):
    predictions = write("p.csv", "image,M2,M3\na,0.9,0.1\na,0.2,0.8\n")
    data = read_predictions(predictions, write("t.csv", "image,class\na,M2\na,M3\n"))
    assert data.truth.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("predictions", "truth", "message"),
    [
        (PROBABILITIES.replace("0.15", "0.45"), ONE_HOT, r"sum to one.*row d\.png.*1\.3"),
        (PROBABILITIES.replace("0.7\t0.2\t0.1", "1.2\t-0.1\t-0.1"), ONE_HOT, r"outside 0 to 1 in row a\.png"),
        (PROBABILITIES.replace("0.25", "much"), ONE_HOT, r"'much' in row d\.png, column M2 is not a number"),
        (PROBABILITIES.replace("0.25", ""), ONE_HOT, r"'' in row d\.png, column M2"),
        (PROBABILITIES.replace("M3", "M2"), ONE_HOT, "several columns are called 'M2'"),
        (PROBABILITIES, ONE_HOT.replace("L2", "L4"), "lacks the classes L2"),
        (PROBABILITIES, ONE_HOT.replace("0.0\t1.0\t0.0", "0.0\t0.0\t0.0"), r"single 1.*rows d\.png, b\.png"),
        (PROBABILITIES, NAMES.replace("c.png,L2\n", ""), r"t\.csv: images without a row there: c\.png"),
        (PROBABILITIES, NAMES + "e.png,M2\n", r"p\.tsv: images without a row there: e\.png"),
        (PROBABILITIES, NAMES.replace(",L2", ","), r"no class in row c\.png"),
        ("image,M2\na,1\n", NAMES, "expected a column per class"),
        ("image,M2,M3\n", NAMES, "no row below the header"),
    ],
)
def test_a_fault_of_a_table_is_one_sentence_that_says_where(write, predictions, truth, message):
    with pytest.raises(TableError, match=message):
        evaluated(predictions=write("p.tsv", predictions), truth=write("t.csv", truth))


def test_labels_the_predictions_do_not_know_are_named(write):
    with pytest.raises(TaxonomyError, match=r"no class of the predictions means Unicorn; .* M2, M3, L2"):
        evaluated(
            predictions=write("p.tsv", PROBABILITIES), truth=write("t.csv", NAMES.replace("L2", "Unicorn"))
        )


def test_a_truth_that_mixes_a_class_with_a_part_of_it_is_refused(write):
    predictions = write("p.csv", "image,ER2,ER3,L2\na,0.3,0.3,0.4\nb,0.2,0.1,0.7\n")
    with pytest.raises(TaxonomyError, match="ER2 is a part of EBO"):
        evaluated(predictions=predictions, truth=write("t.csv", "image,class\na,EBO\nb,ER2\n"))


def test_a_missing_table_is_one_sentence(write, tmp_path):
    with pytest.raises(TableError, match="cannot be read as a table"):
        evaluated(predictions=tmp_path / "nowhere.tsv", truth=write("t.csv", NAMES))


def test_experts_are_judged_beside_the_model_on_the_cells_they_labelled(write):
    raters = write("r.csv", "image,Ann,Bob\nb.png,M3,M2\na.png,PMY,M3\nc.png,LYT,\n")
    found = evaluated(
        predictions=write("p.tsv", PROBABILITIES), truth=write("t.csv", NAMES), raters=raters
    ).raters
    assert found.each["Ann"].n == 3
    assert found.each["Ann"].macro_f1 == 1.0
    assert found.each["Ann"].difference.value < 0
    assert found.each["Bob"].n == 2
    assert found.each["Bob"].macro_f1 == 0.0


@pytest.mark.parametrize(
    ("raters", "message"),
    [
        ("image,Ann\nz.png,M2\n", r"not in the set: z\.png"),
        ("image,Ann\na.png,Unicorn\n", "column Ann: Unicorn is no single class"),
        ("image,Ann\na.png,\n", "column Ann: there is no label"),
        ("image,Ann\na.png,M2\na.png,M3\n", r"more than once: row a\.png"),
    ],
)
def test_a_fault_of_the_experts_table_says_which(write, raters, message):
    with pytest.raises(TableError, match=message):
        evaluated(
            predictions=write("p.tsv", PROBABILITIES),
            truth=write("t.csv", NAMES),
            raters=write("r.csv", raters),
        )


@pytest.fixture
def labelled(tmp_path) -> Path:
    """Six images in the folders of two public sets, one of them nested as in Munich's, one hidden file."""
    folder = tmp_path / "set"
    for i in range(3):
        paint(folder / "val" / "PMY" / f"PMY_{i}.png", seed=i)
        paint(folder / "EBO" / "0001-1000" / f"EBO_{i}.png", side=40, seed=10 + i)
    (folder / "EBO" / "._EBO_0.png").write_bytes(b"not an image")
    return folder


def test_a_labelled_folder_is_judged_with_each_member_beside_the_ensemble(labelled, toy_bundle_folder):
    found = evaluated(dataset=labelled, model=str(toy_bundle_folder), mpp=0.25)
    assert found.n == 6
    assert dict(zip(found.taxonomy.codes, found.support, strict=True))["EBO"] == 3
    assert len(found.members) == 2
    assert found.conformal.threshold == 0.1
    assert found.warnings == ()


def test_foreign_images_and_experts_go_with_a_folder_too(labelled, toy_bundle_folder, tmp_path, write):
    for i in range(4):
        paint(tmp_path / "foreign" / f"{i}.png", seed=20 + i)
    raters = write("r.csv", "image,Ann\nPMY_0.png,M2\nEBO/0001-1000/EBO_1.png,EBO\n")
    found = evaluated(
        dataset=labelled, model=str(toy_bundle_folder), mpp=0.25, ood=tmp_path / "foreign", raters=raters
    )
    assert found.foreign.n == 4
    assert 0 <= found.to_json()["ood_auroc"] <= 1
    assert found.raters.each["Ann"].n == 2


def test_a_cascade_is_judged_without_its_members_and_says_what_it_asked(
    labelled, toy_bundle_folder, tmp_path
):
    settling = tmp_path / "settling"
    shutil.copytree(toy_bundle_folder, settling)
    spec = json.loads((settling / "bundle.json").read_text())
    spec["cascade"] = {"threshold": 0.01, "changed": 0.002}
    (settling / "bundle.json").write_text(json.dumps(spec))
    for i in range(4):
        paint(tmp_path / "foreign" / f"{i}.png", seed=20 + i)
    asked = {"dataset": labelled, "mpp": 0.25, "ood": tmp_path / "foreign", "cascade": True}
    found = evaluated(model=str(settling), **asked)
    assert found.n == 6
    assert found.members == ()
    assert found.model == "toy 1, a cascade: 50% of its members' answers"
    assert np.isnan(found.foreign.mutual_information)
    assert found.foreign.entropy >= 0
    with pytest.raises(OptionError, match="has no threshold for a cascade"):
        evaluated(model=str(toy_bundle_folder), **asked)
    with pytest.raises(OptionError, match="--cascade needs a DATASET"):
        evaluated(predictions=tmp_path / "p.csv", truth=tmp_path / "t.csv", cascade=True)


def test_a_damaged_image_is_left_out_and_told_of(labelled, toy_bundle_folder, write):
    (labelled / "EBO" / "0001-1000" / "EBO_0.jpg").write_bytes(b"\xff\xd8\xff damaged")
    raters = write("r.csv", "image,Ann\nEBO_2.png,EBO\n")
    found = evaluated(dataset=labelled, model=str(toy_bundle_folder), mpp=0.25, raters=raters)
    assert found.n == 6
    assert found.raters.each["Ann"].accuracy == 1.0  # the others' labels have not moved by one
    assert "1 of 7 images" in found.warnings[0]
    assert "EBO_0.jpg" in found.warnings[0]


def test_when_no_image_can_be_read_that_is_an_error(tmp_path, toy_bundle_folder):
    (tmp_path / "set" / "PMY").mkdir(parents=True)
    (tmp_path / "set" / "PMY" / "x.jpg").write_bytes(b"\xff\xd8\xff damaged")
    with pytest.raises(SlideError, match="None of 1 images"):
        evaluated(dataset=tmp_path / "set", model=str(toy_bundle_folder), mpp=0.25)


def test_folders_the_model_has_no_class_for_are_named(labelled, toy_bundle_folder):
    paint(labelled / "BLA" / "0001-1000" / "BLA_1.png")
    paint(labelled / "Unicorn" / "x.png")
    with pytest.raises(TaxonomyError, match="means BLA, Unicorn"):
        evaluated(dataset=labelled, model=str(toy_bundle_folder), mpp=0.25)


def test_folders_the_model_has_no_class_for_are_left_out_when_asked(labelled, toy_bundle_folder):
    for i in range(2):
        paint(labelled / "BLA" / f"BLA_{i}.png", seed=i)
    found = evaluated(dataset=labelled, model=str(toy_bundle_folder), mpp=0.25, skip_unknown=True)
    assert found.n == 6
    assert found.warnings == ("2 images of BLA are left out: the model has no such class",)


def test_images_without_red_cells_to_measure_the_stain_on_are_said(labelled, toy_bundle_folder, tmp_path):
    for file in labelled.rglob("*.png"):
        Image.new("RGB", (120, 120), (250, 230, 205)).save(file)
    stained = tmp_path / "stained"
    shutil.copytree(toy_bundle_folder, stained)
    spec = json.loads((stained / "bundle.json").read_text())
    spec["stain"] = {"glass": [0, 0.1, 0.2], "red_cell": [0.2, 0.3, 0.2], "nucleus": [1.2, 1.8, 0.5]}
    (stained / "bundle.json").write_text(json.dumps(spec))
    found = evaluated(dataset=labelled, model=str(stained), mpp=0.25)
    assert "stain could not be measured" in found.warnings[0]
    assert evaluated(dataset=labelled, model=str(stained), mpp=0.25, match_stain=False).warnings == ()


def test_crops_are_brought_to_the_models_scale_about_the_middle(toy_bundle, tmp_path):
    # a cell 40 px wide at 0.125 µm/px is 20 px wide at the model's 0.25
    pixels = np.full((300, 300, 3), 255, np.uint8)
    pixels[130:170, 130:170] = 0
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    dark = read_crop(path, 0.125, toy_bundle.spec)[:, :, 0] < 128
    assert np.flatnonzero(dark.any(axis=1))[[0, -1]].tolist() == [38, 57]
    assert np.flatnonzero(dark.any(axis=0))[[0, -1]].tolist() == [38, 57]


def test_an_image_smaller_than_a_crop_is_continued_by_its_edge(toy_bundle, tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(np.full((50, 50, 3), 77, np.uint8)).save(path)
    crop = read_crop(path, 0.25, toy_bundle.spec)
    assert crop.shape == (96, 96, 3)
    assert (crop == 77).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either a DATASET"),
        ({"dataset": Path("x"), "predictions": Path("p"), "mpp": 0.2}, "either a DATASET"),
        ({"predictions": Path("p")}, "belong together"),
        ({"predictions": Path("p"), "truth": Path("t"), "ood": Path("o")}, "--ood needs"),
        ({"dataset": Path("x")}, "--mpp"),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused_at_once(options, message):
    with pytest.raises(OptionError, match=message):
        EvaluateOptions(**options)


def test_what_is_not_a_labelled_set_is_refused_before_the_model_is_loaded(tmp_path, toy_bundle_folder):
    model = str(toy_bundle_folder)
    with pytest.raises(OptionError, match="is not a folder"):
        evaluated(dataset=tmp_path / "nowhere", model=model, mpp=0.25)
    (tmp_path / "set").mkdir()
    with pytest.raises(OptionError, match="holds no image"):
        evaluated(dataset=tmp_path / "set", model=model, mpp=0.25)
    paint(tmp_path / "set" / "loose.png")
    with pytest.raises(OptionError, match=r"loose\.png lie in no folder"):
        evaluated(dataset=tmp_path / "set", model=model, mpp=0.25)
    with pytest.raises(ScaleError, match="25 µm/px is implausible"):
        evaluated(dataset=tmp_path / "set", model=model, mpp=25)


def test_judging_tables_does_not_cost_the_import_of_torch():
    modules = "sys, napari_deepheme.evaluate.evaluate, napari_deepheme.report"
    code = f"import {modules}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
