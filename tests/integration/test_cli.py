"""The command line as a user meets it: what it writes, prints and answers to bad input."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_deepheme import AnalysisOptions, analyse, cells_table, cli, drain, load_bundle, open_slide
from napari_deepheme.batch import slide_run
from napari_deepheme.cli import printing
from napari_deepheme.export import read_cells_csv
from napari_deepheme.jobs import Progress

COLUMNS = (
    "cell_id,x_px,y_px,x_um,y_um,class,class_name,confidence,top2_class,top2_confidence,entropy,"
    "mutual_information,agreement,conformal_set,needs_review,review_reason,label,label_source,region,"
    "detector_score,p_B2,p_E4,p_EBO,p_L2,p_M2,p_M3,p_M4,p_M5,p_M6,p_MO2,p_U1,trained_entropy,ood_distance"
)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of the command line."""
    monkeypatch.setattr(sys, "argv", ["napari-deepheme", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


def refused(monkeypatch, capsys, *arguments: object) -> str:
    """The one line on stderr of a command that must be refused."""
    assert run(monkeypatch, *arguments) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.strip()]
    assert len(lines) == 1, printed.err
    assert "Traceback" not in printed.err
    return lines[0]


def test_classify_writes_the_columns_others_rely_on_and_what_python_gives(
    monkeypatch, capsys, tmp_path, smear_path, toy_bundle_folder
):
    options = (
        "--out",
        tmp_path,
        "--model",
        toy_bundle_folder,
        "--target-cells",
        0,
        "--formats",
        "csv",
        "--json",
    )
    assert run(monkeypatch, "classify", smear_path, *options) == 0
    document = json.loads(capsys.readouterr().out)
    report = document["slides"][0]
    assert report["cells"] == 40
    assert report["mpp"] == pytest.approx(0.25)
    assert set(report) == {
        "slide", "analysis", "files", "cells", "counted", "needs_review", "mpp", "seconds",
        "detector", "detection_threshold", "crowding", "regions", "failed_units", "stain_matched",
        "class_prior", "warnings"
    }  # fmt: skip
    written = tmp_path / f"{smear_path.stem}.cells.csv"
    assert str(written) in report["files"]
    assert written.read_text(encoding="utf-8").splitlines()[0] == COLUMNS
    with open_slide(smear_path) as slide:
        analysis = drain(analyse(slide, load_bundle(toy_bundle_folder), AnalysisOptions(target_cells=0)))
    pd.testing.assert_frame_equal(read_cells_csv(written), cells_table(analysis), check_dtype=False)


def test_info_tells_the_scale_and_where_it_comes_from(monkeypatch, capsys, smear_path):
    assert run(monkeypatch, "info", smear_path, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["width"], facts["height"], facts["mpp"]) == (1280, 1536, 0.25)
    assert facts["mpp_source"]
    assert {"format", "vendor", "levels", "associated", "warnings"} <= set(facts)


def test_synth_writes_a_smear_with_its_truth_that_info_reads(monkeypatch, capsys, tmp_path):
    path = tmp_path / "a.tif"
    arguments = ("--out", path, "--size", 600, 700, "--cells", 5, "--seed", 1, "--mpp", 0.2)
    assert run(monkeypatch, "synth", *arguments) == 0
    capsys.readouterr()
    assert run(monkeypatch, "info", path, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["height"], facts["width"], facts["mpp"]) == (600, 700, pytest.approx(0.2))
    assert len(pd.read_csv(tmp_path / "a.truth.csv")) == 5


def test_ctrl_c_is_exit_code_130(monkeypatch, tmp_path, smear_path, toy_bundle_folder):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(slide_run, "analyse_with", interrupted)
    assert run(monkeypatch, "classify", smear_path, "--out", tmp_path, "--model", toy_bundle_folder) == 130


def test_one_bad_slide_does_not_cost_the_others(monkeypatch, capsys, tmp_path, smear_path, toy_bundle_folder):
    (tmp_path / "bad.svs").write_text("not a slide")
    out = tmp_path / "out"
    arguments = ("--out", out, "--model", toy_bundle_folder, "--json")
    assert run(monkeypatch, "classify", tmp_path / "bad.svs", smear_path, *arguments) == 2
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["slides"]) == 1
    assert "bad.svs" in printed.err
    assert (out / f"{smear_path.stem}.cells.csv").exists()


class TestBadInput:
    """One clear line and exit code 2."""

    def test_not_an_image(self, monkeypatch, capsys, tmp_path):
        (tmp_path / "notes.tif").write_text("these are notes")
        assert "notes.tif" in refused(monkeypatch, capsys, "info", tmp_path / "notes.tif")

    def test_no_such_file(self, monkeypatch, capsys, tmp_path):
        assert "gone.svs" in refused(
            monkeypatch, capsys, "classify", tmp_path / "gone.svs", "--out", tmp_path
        )

    def test_a_truncated_slide(self, monkeypatch, capsys, tmp_path, smear_path):
        whole = smear_path.read_bytes()
        (tmp_path / "cut.svs").write_bytes(whole[: len(whole) // 2])
        assert "cut.svs" in refused(monkeypatch, capsys, "classify", tmp_path / "cut.svs", "--out", tmp_path)

    def test_a_slide_without_scale_asks_for_it(self, monkeypatch, capsys, tmp_path):
        Image.new("RGB", (300, 200), "white").save(tmp_path / "field.png")
        line = refused(monkeypatch, capsys, "classify", tmp_path / "field.png", "--out", tmp_path)
        assert "--mpp" in line

    @pytest.mark.parametrize("mpp", ["40", "0.001", "-1", "nan"])
    def test_an_absurd_scale(self, monkeypatch, capsys, tmp_path, smear_path, mpp):
        line = refused(monkeypatch, capsys, "classify", smear_path, "--out", tmp_path, "--mpp", mpp)
        assert "0.05" in line

    def test_an_absurd_scale_in_the_file(self, monkeypatch, capsys, tmp_path, toy_bundle_folder):
        description = "Aperio Image Library v12.0.15\r\n256x256 (256x256) JPEG/RGB Q=80|AppMag = 40|MPP = 250"
        image = np.full((256, 256, 3), 250, np.uint8)
        tags = {"tile": (256, 256), "photometric": "rgb", "description": description, "metadata": None}
        tifffile.imwrite(tmp_path / "a.svs", image, **tags)
        arguments = ("--out", tmp_path, "--model", toy_bundle_folder)
        line = refused(monkeypatch, capsys, "classify", tmp_path / "a.svs", *arguments)
        assert "250" in line
        assert "--mpp" in line

    def test_an_altered_bundle(self, monkeypatch, capsys, tmp_path, smear_path, toy_bundle_folder):
        bundle = shutil.copytree(toy_bundle_folder, tmp_path / "toy")
        (bundle / "member-0.safetensors").write_bytes(b"other")
        line = refused(monkeypatch, capsys, "classify", smear_path, "--out", tmp_path, "--model", bundle)
        assert "member-0.safetensors" in line

    def test_a_bundle_without_a_member(self, monkeypatch, capsys, tmp_path, smear_path, toy_bundle_folder):
        bundle = shutil.copytree(toy_bundle_folder, tmp_path / "toy")
        (bundle / "member-1.safetensors").unlink()
        line = refused(monkeypatch, capsys, "classify", smear_path, "--out", tmp_path, "--model", bundle)
        assert "member-1.safetensors" in line

    def test_an_output_folder_that_is_a_file(
        self, monkeypatch, capsys, tmp_path, smear_path, toy_bundle_folder
    ):
        (tmp_path / "taken").write_text("")
        arguments = ("--out", tmp_path / "taken", "--model", toy_bundle_folder)
        assert "taken" in refused(monkeypatch, capsys, "classify", smear_path, *arguments)

    def test_slides_whose_results_would_collide(self, monkeypatch, capsys, tmp_path):
        slides = (tmp_path / "a" / "s.svs", tmp_path / "b" / "s.svs")
        assert "overwrite" in refused(monkeypatch, capsys, "classify", *slides, "--out", tmp_path)

    def test_a_cascade_of_a_model_that_has_none(
        self, monkeypatch, capsys, tmp_path, smear_path, toy_bundle_folder
    ):
        options = ("--out", tmp_path, "--model", toy_bundle_folder, "--cascade")
        assert "has no threshold" in refused(monkeypatch, capsys, "classify", smear_path, *options)

    def test_an_unknown_format(self, monkeypatch, capsys, tmp_path, smear_path):
        arguments = ("--out", tmp_path, "--formats", "docx")
        assert "docx" in refused(monkeypatch, capsys, "classify", smear_path, *arguments)

    def test_a_precision_the_device_has_not(
        self, monkeypatch, capsys, tmp_path, smear_path, toy_bundle_folder
    ):
        arguments = (
            "--out",
            tmp_path,
            "--model",
            toy_bundle_folder,
            "--device",
            "cpu",
            "--precision",
            "fp16",
        )
        line = refused(monkeypatch, capsys, "classify", smear_path, *arguments)
        assert "fp16 needs a GPU; on the CPU use auto, bf16 or fp32" in line

    def test_smears_that_cannot_be(self, monkeypatch, capsys, tmp_path):
        arguments = ("--out", tmp_path / "a.tif", "--size", 200, 200, "--cells", 500)
        assert refused(monkeypatch, capsys, "synth", *arguments)


def test_jpegs_that_may_be_damaged_are_said_to_be(monkeypatch, capsys, shared):
    files = sorted((shared / "munich" / "corrupt_jpeg").glob("*.jpg"))
    assert len(files) == 8
    for file in files:
        assert run(monkeypatch, "info", file, "--json") == 0
        assert "may be damaged" in " ".join(json.loads(capsys.readouterr().out)["warnings"])


def test_the_command_is_installed_and_answers_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "napari_deepheme", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    for command in ("demo", "info", "classify", "synth", "Research use only"):
        assert command in done.stdout


class TestModels:
    def test_the_embedded_model_is_listed_and_its_card_shown(self, monkeypatch, capsys):
        assert run(monkeypatch, "models", "list", "--json") == 0
        names = [model["name"] for model in json.loads(capsys.readouterr().out)["models"]]
        assert "pbc-11" in names
        assert run(monkeypatch, "models", "show", "pbc-11") == 0
        assert "Not for diagnosis" in capsys.readouterr().out

    def test_a_whole_bundle_verifies_and_an_altered_one_does_not(
        self, monkeypatch, capsys, tmp_path, toy_bundle_folder
    ):
        assert run(monkeypatch, "models", "verify", toy_bundle_folder) == 0
        assert "passes its self-test" in capsys.readouterr().out
        bundle = shutil.copytree(toy_bundle_folder, tmp_path / "toy")
        (bundle / "member-0.safetensors").write_bytes(b"other")
        assert "member-0" in refused(monkeypatch, capsys, "models", "verify", bundle)

    def test_importing_something_else_is_refused(self, monkeypatch, capsys, tmp_path):
        (tmp_path / "a.pt").write_text("hello")
        assert "a.pt" in refused(
            monkeypatch, capsys, "models", "import", tmp_path / "a.pt", "--out", tmp_path / "b"
        )


class TestEvaluate:
    def tables(self, folder, row):
        (folder / "p.csv").write_text(f"image,M2,M3\na.png,0.9,0.1\nb.png,0.2,0.8\nc.png,{row}\n")
        (folder / "t.tsv").write_text("image\tlabel\na.png\tM2\nb.png\tM3\nc.png\tM3\n")
        return "evaluate", "--predictions", folder / "p.csv", "--truth", folder / "t.tsv"

    def test_tables_of_anyone_are_measured(self, monkeypatch, capsys, tmp_path):
        command = self.tables(tmp_path, "0.6,0.4")
        assert run(monkeypatch, *command, "--json", "--report", tmp_path / "r.html") == 0
        scores = json.loads(capsys.readouterr().out)
        assert (scores["n"], scores["tolerant_accuracy"]) == (3, 1.0)
        assert scores["accuracy"] == pytest.approx(2 / 3)
        assert scores["confusion"]["labels"] == ["M2", "M3"]
        assert {"macro_f1", "nll", "brier", "ece", "top2", "per_class", "members"} <= set(scores)
        assert "Research use only" in (tmp_path / "r.html").read_text(encoding="utf-8")

    def test_a_row_that_does_not_sum_to_one_is_named(self, monkeypatch, capsys, tmp_path):
        assert "c.png" in refused(monkeypatch, capsys, *self.tables(tmp_path, "0.6,0.9"))


def test_in_a_file_progress_is_a_line_a_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(printing.time, "monotonic", lambda: now[0])

    def job():
        for done in range(10):
            now[0] += 25.0
            yield Progress("Training", done, 10, "loss 0.5")
        return "done"

    assert printing.with_bar(job()) == "done"
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 3
    assert lines[0].startswith("Training, 2 of 10, loss 0.5, ")
    assert lines[0].endswith(" min left")
