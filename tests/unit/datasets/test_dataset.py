from pathlib import Path

import pytest

from napari_deepheme.datasets.dataset import Box, TrainingImage, read_dataset
from napari_deepheme.errors import OptionError, TableError, TaxonomyError
from napari_deepheme.taxonomy import DEEPHEME_23, MUNICH_21, PBC_11


@pytest.fixture
def table(tmp_path):
    """Writes a table beside the images a.png to d.png; that they are there is all that is asked of them."""
    for name in "abcd":
        (tmp_path / f"{name}.png").write_bytes(b"")

    def written(text: str) -> Path:
        path = tmp_path / "set.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_folders_of_classes_are_read_flat_and_nested(tmp_path):
    touch(tmp_path / "PMY" / "x.jpg")
    touch(tmp_path / "NGS" / "0001-1000" / "y.jpg")
    images = read_dataset(tmp_path, PBC_11).images
    assert [(image.label, image.code) for image in images] == [("NGS", "M6"), ("PMY", "M2")]
    assert {(image.patient, image.split, image.box) for image in images} == {(None, None, None)}


def test_classes_nothing_can_be_learnt_of_are_told_in_one_warning(tmp_path):
    touch(tmp_path / "PMY" / "x.jpg")
    (warning,) = read_dataset(tmp_path, PBC_11).warnings
    assert "no image of B2, E4, EBO, L2, M3, M4, M5, M6, MO2, U1" in warning


def test_folders_of_halves_are_joined_but_not_in_silence(tmp_path):
    touch(tmp_path / "train" / "PMY" / "x.jpg")
    touch(tmp_path / "test" / "PMY" / "y.jpg")
    assert "folders test, train are not taken as a split" in read_dataset(tmp_path, PBC_11).warnings[0]


def test_a_table_gives_patients_split_and_boxes(table, tmp_path):
    source = table(
        "label,path,patient,split,box_cx,box_cy,box_w,box_h,stain\n"
        "PMY,a.png,p1,train,0.5,0.4,0.3,0.2,MGG\n"
        "Lymphocyte, b.png ,p2,validation,,,,,\n"
    )
    first, second = read_dataset(source, PBC_11).images
    assert first == TrainingImage(tmp_path / "a.png", "PMY", "M2", "p1", "train", Box(0.5, 0.4, 0.3, 0.2))
    assert second == TrainingImage(tmp_path / "b.png", "Lymphocyte", "L2", "p2", "val")


@pytest.mark.parametrize("text", ["path;label\na.png;PMY\n", "\ufeffpath,label\r\na.png,PMY\r\n\r\n"])
def test_tables_as_a_spreadsheet_saves_them_are_read(table, text):
    assert [image.code for image in read_dataset(table(text), PBC_11).images] == ["M2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\na.png,PMY\n", r"lacks the column path; it has image, label"),
        ("", r"lacks the columns path, label; it has none"),
        ("path,label\n", "no row below the header"),
        ("path,label,box_cx\na.png,PMY,0.5\n", "lacks the columns box_cy, box_w, box_h"),
        ("path,label\na.png,\n", "line 2: there is no label"),
        ("path,label\na.png\n", "line 2: there is no label"),
        ("path,label\na.png,PMY\na.png,MY\n", r"listed more than once: .*a\.png"),
        ("path,label\na.png,PMY\nx.png,PMY\ny.png,MY\n", r"2 of 3 images are not there: .*x\.png, .*y\.png"),
        ("path,label,split\na.png,PMY,test\n", "line 2: split 'test' is not known; expected train or val"),
        ("path,label,split\na.png,PMY,val\nb.png,PMY,\n", r"1 of 2 images have no split, such as .*b\.png"),
        ("path,label,patient\na.png,PMY,\nb.png,PMY,p\n", r"1 of 2 images have no patient, such as .*a\.png"),
        (
            "path,label,patient,split\na.png,PMY,p,val\nb.png,PMY,p,train\nc.png,PMY,q,train\n",
            "patients in both train and val: p;",
        ),
        ("path,label,box_cx,box_cy,box_w,box_h\na.png,PMY,90,90,40,40\n", "line 2: '90', .* fractions"),
        ("path,label,box_cx,box_cy,box_w,box_h\na.png,PMY,.5,.5,.4,\n", "line 2: .* no box"),
        ("path,label,box_cx,box_cy,box_w,box_h\na.png,PMY,.5,.5,0,.4\n", "line 2: .* no box"),
        ("path,label,box_cx,box_cy,box_w,box_h\na.png,PMY,.5,.5,nan,.4\n", "line 2: .* no box"),
    ],
)
def test_a_fault_of_the_table_is_one_sentence_that_says_where(table, text, message):
    with pytest.raises(TableError, match=message):
        read_dataset(table(text), PBC_11)


def test_a_table_in_another_encoding_is_refused(table):
    source = table("path,label\n")
    source.write_bytes("path,label\nä.png,PMY\n".encode("latin-1"))
    with pytest.raises(TableError, match="UTF-8"):
        read_dataset(source, PBC_11)


def test_what_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(OptionError, match="nowhere does not exist"):
        read_dataset(tmp_path / "nowhere", PBC_11)


def test_a_patient_missing_here_and_there_does_not_matter_where_the_split_is_given(table):
    source = table("path,label,patient,split\na.png,PMY,,train\nb.png,PMY,p,val\n")
    assert len(read_dataset(source, PBC_11).images) == 2


def test_labels_that_mean_the_same_class_are_joined(table):
    source = table("path,label\na.png,ART\nb.png,KSC\n")
    assert [image.code for image in read_dataset(source, DEEPHEME_23).images] == ["U1", "U1"]
    assert [image.code for image in read_dataset(source, MUNICH_21).images] == ["ART", "KSC"]


def test_a_label_that_covers_several_classes_cannot_teach_which(table):
    source = table("path,label\na.png,EBO\nb.png,EOS\nc.png,PMO\n")
    with pytest.raises(TaxonomyError, match=r"EBO covers ER2, ER3, ER4; EOS covers E1, E4 .*munich-21"):
        read_dataset(source, DEEPHEME_23)
    assert read_dataset(source, MUNICH_21).images[0].code == "EBO"


def test_every_unknown_label_is_named_with_what_is_known(table):
    with pytest.raises(TaxonomyError, match=r"no class for 'Dragon', 'Unicorn'; it knows B2, E4"):
        read_dataset(table("path,label\na.png,Unicorn\nb.png,Dragon\nc.png,PMY\n"), PBC_11)
