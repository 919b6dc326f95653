import json
import shutil
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from napari_deepheme.classify.bundle import BundleSpec, load_bundle
from napari_deepheme.classify.stain import StainMatching
from napari_deepheme.errors import BundleError
from napari_deepheme.models.bundle import SPEC_FILE, embedded_bundles


@pytest.fixture
def folder(toy_bundle_folder: Path, tmp_path: Path) -> Path:
    """A copy of the toy bundle to damage."""
    return Path(shutil.copytree(toy_bundle_folder, tmp_path / "toy"))


def edit(folder: Path, **changes: object) -> None:
    spec = json.loads((folder / SPEC_FILE).read_text())
    (folder / SPEC_FILE).write_text(json.dumps(spec | changes))


def test_a_bundle_opens_from_its_folder_and_from_a_zip_of_files_or_of_the_folder(folder, tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "files.zip", "w") as files,
        zipfile.ZipFile(tmp_path / "folder.zip", "w") as whole,
    ):
        for path in folder.iterdir():
            files.write(path, path.name)
            whole.write(path, f"toy/{path.name}")
    spec = load_bundle(folder).spec
    assert spec.taxonomy.codes[0] == "B2"
    assert load_bundle(tmp_path / "files.zip").spec == spec
    assert load_bundle(tmp_path / "folder.zip").card == load_bundle(folder).card == "# toy\n"


def test_an_altered_member_is_refused(folder):
    with (folder / "member-1.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=r"member-1\.safetensors.*SHA-256"):
        load_bundle(folder)


def test_a_missing_member_is_named(folder):
    (folder / "member-0.safetensors").unlink()
    with pytest.raises(BundleError, match=r"member-0\.safetensors is missing"):
        load_bundle(folder)


def test_a_folder_without_a_bundle_says_what_was_expected(tmp_path):
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        load_bundle(tmp_path)
    with pytest.raises(BundleError, match="nowhere"):
        load_bundle("nowhere")


@pytest.mark.parametrize(
    "changes",
    [{"format_version": 2}, {"members": []}, {"surprise": 1}, {"temperature": 0}, {"mpp": "fine"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_spec_that_does_not_fit_says_where(folder, changes):
    edit(folder, **changes)
    with pytest.raises(BundleError, match=next(iter(changes))):
        load_bundle(folder)


def test_a_spec_cannot_point_outside_its_bundle(folder):
    spec = json.loads((folder / SPEC_FILE).read_text())
    spec["members"][0]["file"] = "../member-0.safetensors"
    edit(folder, members=spec["members"])
    with pytest.raises(BundleError, match="file"):
        load_bundle(folder)


def test_broken_json_is_one_sentence(folder):
    (folder / SPEC_FILE).write_text("{")
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(folder)


@pytest.mark.parametrize("name", embedded_bundles())
def test_an_embedded_bundle_is_whole_small_and_honest(name):
    bundle = load_bundle(name)
    assert sum(len(bundle.read(name)) for name, _ in bundle.spec.hashed()) <= 30e6
    # without these two, another laboratory's slides and unknown cells would pass for home
    assert bundle.spec.stain is not None
    assert bundle.spec.ood is not None
    for words in ("peripheral blood", "blasts", "plasma cells", "Not for diagnosis", "CC BY 4.0"):
        assert words in bundle.card


def test_a_slide_keeps_its_colours_where_the_bundle_says_so_or_has_none_to_match():
    spec = load_bundle("pbc-11").spec
    matches = {
        (match, stain is None): spec.model_copy(update={"match_stain": match, "stain": stain}).matches_stain
        for match in StainMatching
        for stain in (spec.stain, None)
    }
    assert [asked for asked, matched in matches.items() if matched] == [("half", False), ("all", False)]


def test_older_bundles_say_true_or_false_of_the_stain():
    spec = load_bundle("pbc-11").spec.model_dump(mode="json")
    said = [BundleSpec.model_validate(spec | {"match_stain": each}).match_stain for each in (True, False)]
    assert said == [StainMatching.ALL, StainMatching.NONE]
    with pytest.raises(ValidationError, match="match_stain"):
        BundleSpec.model_validate(spec | {"match_stain": "some"})


def test_pbc_11_is_embedded():
    assert "pbc-11" in embedded_bundles()
