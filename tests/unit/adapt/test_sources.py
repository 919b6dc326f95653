import numpy as np
import pytest
from review_cells import analysis_of

from napari_deepheme.adapt.labelled import Grouping, LabelledCells, without_repeats
from napari_deepheme.adapt.sources import CorrectedCells, LabelledImages, label_sources
from napari_deepheme.analysis.audit import draw_audit
from napari_deepheme.analysis.corrections import CorrectionKind
from napari_deepheme.analysis.result import UnitResult
from napari_deepheme.errors import OptionError, ScaleError, SlideError, TableError
from napari_deepheme.jobs import drain
from napari_deepheme.store.opening import create_analysis, open_analysis


def cells(crops: np.ndarray, labels: tuple[str, ...], names: tuple[str, ...] | None = None) -> LabelledCells:
    names = names or tuple(str(i) for i in range(len(labels)))
    return LabelledCells(crops, labels, names, names, Grouping.IMAGE, ("one",) * len(labels))


def test_a_folder_of_classes_is_read_as_the_model_takes_it(labelled_folder, toy_bundle):
    (source,) = label_sources([labelled_folder], 0.25)
    found = drain(source.read(toy_bundle.spec))
    assert found.crops.shape == (24, 96, 96, 3)
    assert (found.grouping, len(set(found.groups)), len(set(found.smears))) == (Grouping.IMAGE, 24, 1)
    assert set(found.labels) == {"LY", "EO", "PLM"}


def test_patients_of_a_table_are_groups_and_smears(labelled_folder, toy_bundle, tmp_path):
    rows = [
        f"{file},{file.parent.name},{'ab'[i % 2]}"
        for i, file in enumerate(sorted(labelled_folder.rglob("*.png")))
    ]
    table = tmp_path / "labels.csv"
    table.write_text("path,label,patient\n" + "\n".join(rows))
    found = drain(LabelledImages(table, 0.25).read(toy_bundle.spec))
    assert found.grouping is Grouping.PATIENT
    assert set(found.groups) == set(found.smears) == {"a", "b"}


def test_images_that_cannot_be_read_are_left_out_and_said(labelled_folder, toy_bundle, tmp_path):
    (tmp_path / "LY").mkdir()
    (tmp_path / "LY" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(SlideError, match="none of 1 images can be read"):
        drain(LabelledImages(tmp_path, 0.25).read(toy_bundle.spec))
    (tmp_path / "LY" / "good.png").write_bytes((labelled_folder / "LY" / "0.png").read_bytes())
    found = drain(LabelledImages(tmp_path, 0.25).read(toy_bundle.spec))
    assert len(found) == 1
    assert "bad.png" in found.notices[0]


def test_another_scale_is_refused(labelled_folder, toy_bundle):
    with pytest.raises(ScaleError, match="too coarse for toy"):
        drain(LabelledImages(labelled_folder, 0.6).read(toy_bundle.spec))
    with pytest.raises(ScaleError, match="implausible"):
        drain(LabelledImages(labelled_folder, 25.0).read(toy_bundle.spec))
    with pytest.raises(OptionError, match="--mpp"):
        label_sources([labelled_folder], None)


def test_a_persons_labels_of_a_slide_are_taken_and_the_models_are_not(smear_path, toy_bundle, tmp_path):
    table = tmp_path / "smear.cells.csv"
    table.write_text(
        "cell_id,x_px,y_px,label,label_source\n1,200,300,M6,person\n2,400,300,L2,model\n3,500.5,700,PLM,person\n"
    )
    (source,) = label_sources([table, smear_path], None)
    found = drain(source.read(toy_bundle.spec))
    assert found.labels == ("M6", "PLM")
    assert found.grouping is Grouping.SLIDE
    assert found.names[1] == "smear.svs x 500.5 y 700"
    with pytest.raises(OptionError, match="give the slide right after it"):
        label_sources([table], None)
    table.write_text("cell_id,x_px,y_px,label,label_source\n1,200,300,M6,model\n")
    with pytest.raises(OptionError, match="a person labelled none of its 1 cells"):
        drain(CorrectedCells(table, smear_path).read(toy_bundle.spec))
    table.write_text("cell_id,x_px,y_px,label,label_source\n1,99999,300,M6,person\n")
    with pytest.raises(TableError, match=r"lie outside smear\.svs"):
        drain(CorrectedCells(table, smear_path).read(toy_bundle.spec))


def test_cells_of_a_finished_audit_are_known_to_be_a_random_sample(smear_path, toy_bundle, tmp_path):
    made = analysis_of(smear_path, toy_bundle, n=60, doubtful=10)
    draw = draw_audit(made, 20, who="Ada")
    other = min(set(made.ids.tolist()) - set(draw.cells))
    path = tmp_path / "a.deepheme.db"
    first, *later = draw.cells

    def drawn() -> tuple[int, int]:
        (source,) = label_sources([path], None)
        found = drain(source.read(toy_bundle.spec))
        assert found.at_random <= set(found.names)
        return len(found), len(found.at_random)

    with create_analysis(path, {}) as file:
        file.begin(made.facts)
        file.commit(UnitResult("tile 1", made.cells, made.raw))
        file.audit(draw)
        for cell in (other, *later):
            file.correct(CorrectionKind.LABEL, cell, label="L2")
    assert drawn() == (len(later) + 1, 0)  # those named first are no sample
    with open_analysis(path, write=True) as file:
        file.correct(CorrectionKind.LABEL, first, label="L2")
    assert drawn() == (len(draw.cells) + 1, len(draw.cells))


def test_what_holds_no_labels_is_refused(tmp_path):
    with pytest.raises(OptionError, match="does not exist or holds no labels"):
        label_sources([tmp_path / "nothing"], 0.25)


def test_one_cell_with_two_labels_is_refused_and_one_that_comes_twice_counts_once():
    crops = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), np.uint8)
    crops[2] = crops[0]
    with pytest.raises(OptionError, match="One cell has the labels A and B"):
        without_repeats(cells(crops, ("A", "A", "B")))
    assert without_repeats(cells(crops, ("A", "B", "A"))).names == ("0", "1")
    crops[2] += 1
    with pytest.raises(OptionError, match="One cell has the labels"):
        without_repeats(cells(crops, ("A", "A", "B"), ("x", "y", "x")))


def test_sets_are_joined_by_what_is_known_of_all():
    crops = np.zeros((2, 8, 8, 3), np.uint8)
    patients = LabelledCells(crops, ("A", "B"), ("1", "2"), ("p", "q"), Grouping.PATIENT, ("p", "q"))
    joined = LabelledCells.join([patients, cells(crops, ("A", "B"), ("3", "4"))])
    assert joined.grouping is Grouping.IMAGE
    assert joined.groups == ("p", "q", "3", "4")
