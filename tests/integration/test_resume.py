"""An analysis that is killed, damaged in places, asked for again or for more."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_deepheme import (
    AnalysisOptions,
    RunOptions,
    analyse,
    cells_table,
    cli,
    drain,
    open_analysis,
    open_slide,
)
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.result import CellsReady, NoticeKind
from napari_deepheme.analysis.run import analyse_with
from napari_deepheme.classify.bundle import Cascade
from napari_deepheme.errors import DamagedTileError, OptionError
from napari_deepheme.fields import FieldKind
from napari_deepheme.slide.planes import Damaged as Damage
from napari_deepheme.slide.reader import Slide
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store import continued, signature_of
from napari_deepheme.taxonomy import own_colours

EVERYTHING = AnalysisOptions(target_cells=0)


@pytest.fixture(scope="module")
def engine(toy_bundle):
    return Engine(toy_bundle, RunOptions())


def stored(engine, slide, options, folder, **how):
    """Run into an analysis file, as the command line does."""
    signature = signature_of(slide, engine.bundle, options)
    file, remark = continued(slide.info.path, folder, signature, **how)
    with file:
        return drain(analyse_with(engine, slide, options, file)), file.path, remark


def test_a_run_that_was_closed_goes_on_where_it_was(engine, smear_path, tmp_path):
    with open_slide(smear_path) as slide:
        whole = cells_table(drain(analyse_with(engine, slide, EVERYTHING)))
        signature = signature_of(slide, engine.bundle, EVERYTHING)
        for units in (1, 3):  # closed after so many units, gone on with, closed again
            file, _ = continued(smear_path, tmp_path, signature)
            with file, closing(analyse_with(engine, slide, EVERYTHING, file)) as job:
                while len(file.done()) < units:
                    next(job)
        analysis, path, remark = stored(engine, slide, EVERYTHING, tmp_path)
    assert "parts of the slide are done" in remark
    pd.testing.assert_frame_equal(cells_table(analysis), whole, check_exact=True)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_finished_analysis_is_not_computed_again(engine, smear_path, tmp_path, monkeypatch):
    with open_slide(smear_path) as slide:
        first, path, _ = stored(engine, slide, EVERYTHING, tmp_path)
        idle = Engine(engine.bundle)
        monkeypatch.setattr(idle, "load", None)  # no network is needed
        again, same, remark = stored(idle, slide, EVERYTHING, tmp_path)
    assert (same, "finished" in remark) == (path, True)
    pd.testing.assert_frame_equal(cells_table(again), cells_table(first))


def test_thresholds_that_a_person_moved_outlive_another_run(engine, smear_path, tmp_path):
    with open_slide(smear_path) as slide:
        _, path, _ = stored(engine, slide, EVERYTHING, tmp_path)
        with open_analysis(path, write=True) as file:
            file.assess_by(AssessmentOptions(detection_threshold=0.2, review_threshold=0.9))
        more = replace(EVERYTHING, assessment=AssessmentOptions(detection_threshold=0.5))
        kept, *_ = stored(engine, slide, EVERYTHING, tmp_path)
        asked, *_ = stored(engine, slide, more, tmp_path)
    assert kept.facts.options.assessment == AssessmentOptions(0.2, 0.9)
    assert asked.facts.options.assessment == AssessmentOptions(0.5, 0.9)


def test_a_higher_target_goes_on_with_the_same_fields(toy_bundle, smear_path, tmp_path):
    taxonomy = toy_bundle.spec.taxonomy
    every = replace(taxonomy, classes=tuple(replace(each, counted=True) for each in taxonomy.classes))
    counting = replace(toy_bundle, spec=toy_bundle.spec.model_copy(update={"taxonomy": every}))
    engine = Engine(counting)
    few, many = AnalysisOptions(target_cells=1), AnalysisOptions(target_cells=10**6)
    with open_slide(smear_path) as slide:
        first, path, _ = stored(engine, slide, few, tmp_path)
        more, same, _ = stored(engine, slide, many, tmp_path)
        at_once = drain(analyse_with(engine, slide, many))
    assert same == path
    assert 0 < len(first.units) < len(more.units)
    pd.testing.assert_frame_equal(cells_table(more), cells_table(at_once))


def test_other_options_lie_beside_it_and_none_is_mixed_or_lost(engine, smear_path, tmp_path):
    with open_slide(smear_path) as slide:
        _, first, _ = stored(engine, slide, EVERYTHING, tmp_path)
        _, second, remark = stored(engine, slide, replace(EVERYTHING, detector="stain"), tmp_path)
        _, third, _ = stored(engine, slide, EVERYTHING, tmp_path, fresh=True)
    assert len({first, second, third}) == 3
    assert "differs in detector" in remark
    assert second.name == f"{smear_path.stem}.2.deepheme.db"


def test_a_cascade_is_another_analysis_that_says_so_and_goes_on_as_one(toy_bundle, smear_path, tmp_path):
    settles = {"cascade": Cascade(threshold=0.1, changed=0.002)}  # at once: the toy has eleven classes
    engine = Engine(replace(toy_bundle, spec=toy_bundle.spec.model_copy(update=settles)), RunOptions())
    asked = replace(EVERYTHING, cascade=True)
    with open_slide(smear_path) as slide:
        whole, path, _ = stored(engine, slide, EVERYTHING, tmp_path)
        # a threshold that nobody asks for makes no other analysis of it
        _, same, _ = stored(Engine(toy_bundle, RunOptions()), slide, EVERYTHING, tmp_path)
        assert same == path
        _, other, _ = stored(engine, slide, asked, tmp_path)
        assert other != path
    with open_analysis(other) as file:
        analysis = file.analysis()
    assert analysis.facts.options.cascade
    assert not whole.facts.options.cascade
    assert np.isnan(analysis.raw.members[1]).all()
    np.testing.assert_array_equal(analysis.raw.members[0], whole.raw.members[0])
    table = cells_table(analysis)
    assert len(table) == len(cells_table(whole))
    assert table[["confidence", "entropy", "agreement"]].notna().all(axis=None)
    assert table["mutual_information"].isna().all()


def test_a_model_without_a_cascade_is_refused_before_anything_is_done(toy_bundle, smear_path):
    with (
        open_slide(smear_path) as slide,
        pytest.raises(OptionError, match="has no threshold for a cascade"),
    ):
        drain(analyse_with(Engine(toy_bundle), slide, replace(EVERYTHING, cascade=True)))


def test_an_analysis_stays_the_same_when_its_slide_is_renamed(engine, smear_path, tmp_path):
    moved = tmp_path / "elsewhere.svs"
    moved.write_bytes(smear_path.read_bytes())
    with open_slide(smear_path) as here, open_slide(moved) as there:
        assert signature_of(here, engine.bundle, EVERYTHING) == signature_of(there, engine.bundle, EVERYTHING)


class Damaged:
    """Makes a slide unreadable in a rectangle (top, left, bottom, right), as a damaged tile does."""

    def __init__(self, monkeypatch, *rectangle):
        read, (top, left, bottom, right) = Slide.read_downsampled, rectangle

        def damaged(slide, centre, shape, downsample, **how):
            half = np.array(shape) * downsample / 2
            (y0, x0), (y1, x1) = np.array(centre) - half, np.array(centre) + half
            hit = y0 < bottom and y1 > top and x0 < right and x1 > left
            if hit and how.get("damaged") is not Damage.SHOW:
                raise DamagedTileError(f"{slide.info.path}: a tile is damaged.")
            return read(slide, centre, shape, downsample, **how)

        monkeypatch.setattr(Slide, "read_downsampled", damaged)


@pytest.mark.parametrize("target", [0, 10**6], ids=["tiles", "fields"])
def test_a_damaged_tile_is_left_out_and_said_and_the_others_are_counted(
    engine, smear_path, monkeypatch, target
):
    options = AnalysisOptions(target_cells=target)
    with open_slide(smear_path) as slide:
        whole = cells_table(drain(analyse_with(engine, slide, options)))
        Damaged(monkeypatch, 0, 0, 60, 60)
        analysis = drain(analyse_with(engine, slide, options))
    assert analysis.finished
    found = cells_table(analysis)
    assert 0 < len(found) < len(whole)
    (notice,) = (notice for notice in analysis.notices if notice.kind is NoticeKind.DAMAGED)
    lost = [key for key, failure in analysis.units.items() if failure]
    lost += [field.region.name for field in analysis.facts.fields if field.kind is FieldKind.DAMAGED]
    total = len(analysis.facts.fields) or len(analysis.units)
    assert 0 < len(lost) < total
    assert f"{len(lost)} of {total} parts of the slide could not be read" in notice.text


def test_cells_whose_surroundings_are_damaged_fail_with_their_unit(engine, smear_path, monkeypatch):
    with open_slide(smear_path) as slide:
        given = drain(analyse_with(engine, slide, EVERYTHING)).counting().cells
        Damaged(monkeypatch, 0, 0, 1536, 640)
        analysis = drain(analyse_with(engine, slide, replace(EVERYTHING, cells=given)))
    assert "could not be read" in " ".join(notice.text for notice in analysis.notices)
    assert len(analysis.cells) < len(given)


def test_an_engine_loads_its_networks_once_for_many_slides(toy_bundle, smear_path, monkeypatch):
    engine = Engine(toy_bundle)
    with open_slide(smear_path) as slide:
        drain(analyse_with(engine, slide, AnalysisOptions(target_cells=1)))
        loaded = engine.ensemble, engine.detector(EVERYTHING)
        drain(analyse_with(engine, slide, EVERYTHING))
    assert (engine.ensemble, engine.detector(EVERYTHING)) == loaded


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["napari-deepheme", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return stop.value.code or 0, printed


def test_the_command_line_keeps_shows_and_exports_an_analysis(
    monkeypatch, capsys, tmp_path, smear_path, toy_bundle_folder
):
    classify = ("classify", smear_path, "--out", tmp_path, "--model", toy_bundle_folder, "--target-cells", 0)
    code, printed = run(monkeypatch, capsys, *classify, "--formats", "csv,geojson.gz", "--json")
    assert code == 0
    report = json.loads(printed.out)["slides"][0]
    file = Path(report["analysis"])
    assert file == tmp_path / "smear.deepheme.db"

    _, printed = run(monkeypatch, capsys, "info", file, "--json")
    facts = json.loads(printed.out)
    assert (facts["cells"], facts["finished"], facts["failed_units"]) == (report["cells"], True, [])

    _, printed = run(monkeypatch, capsys, "differential", file, "--json")
    counts = json.loads(printed.out)
    assert counts["n_counted"] == report["counted"]
    assert sum(each["count"] for each in counts["classes"].values()) == report["cells"]
    _, printed = run(monkeypatch, capsys, "differential", file, "--detection-threshold", 0.12, "--json")
    assert json.loads(printed.out)["n_cells"] >= report["cells"]
    with open_analysis(file, write=True) as kept:  # as the window does when a person moves the threshold
        kept.assess_by(AssessmentOptions(detection_threshold=0.12))
    _, moved = run(monkeypatch, capsys, "differential", file, "--json")
    assert moved.out == printed.out
    with open_analysis(file, write=True) as kept:
        kept.assess_by(AssessmentOptions())
    _, printed = run(monkeypatch, capsys, "differential", file, "--rule", "deepheme", "--json")
    assert json.loads(printed.out)["rule"] == "deepheme"
    code, printed = run(monkeypatch, capsys, "differential", file, "--rule", "mine")
    assert code != 0
    assert "no counting rule and no file" in printed.err

    written = [tmp_path / name for name in ("again.csv", "cells.geojson", "cells.parquet")]
    code, _ = run(monkeypatch, capsys, "export", file, *(f"--to={path}" for path in written))
    assert code == 0
    ours = pd.read_csv(tmp_path / "smear.cells.csv")
    pd.testing.assert_frame_equal(pd.read_csv(written[0]), ours)
    np.testing.assert_allclose(pd.read_parquet(written[2])["x_px"], ours["x_px"])
    features = json.loads(written[1].read_text())["features"]
    assert len(features) == len(ours)
    assert features[0]["properties"]["objectType"] == "detection"
    assert features[0]["properties"]["classification"]["name"] == ours.loc[0, "class_name"]

    # QuPath's points come back as the cells they are
    back = tmp_path / "back"
    given = ("classify", smear_path, "--model", toy_bundle_folder, "--out", back, "--cells", written[1])
    assert run(monkeypatch, capsys, *given)[0] == 0
    again = pd.read_csv(back / "smear.cells.csv")
    np.testing.assert_allclose(again[["x_px", "y_px"]], ours[["x_px", "y_px"]], atol=0.01)

    assert run(monkeypatch, capsys, "export", file, "--to", tmp_path / "report.html")[0] == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{report['counted']} cells counted of {report['cells']} found" in page
    assert page.count("data:image") > 3
    assert all(words in page for words in ("Research use only", "(of the model)"))

    code, printed = run(monkeypatch, capsys, "export", file, "--to", tmp_path / "cells.docx")
    assert (code, ".parquet" in printed.err) == (2, True)
    code, printed = run(monkeypatch, capsys, *classify, "--no-store", "--json")
    assert json.loads(printed.out)["slides"][0]["analysis"] is None


def test_the_command_line_writes_the_colours_that_a_person_chose_in_the_window(
    monkeypatch, capsys, tmp_path, smear_path, toy_bundle, toy_bundle_folder
):
    monkeypatch.setattr(own_colours, "COLOURS_FILE", tmp_path / "colours.toml")
    for code in toy_bundle.spec.taxonomy.codes:
        own_colours.keep_colour(code, "#12fe56")
    given = ("--model", toy_bundle_folder, "--target-cells", 5, "--formats", "geojson")
    assert run(monkeypatch, capsys, "classify", smear_path, "--out", tmp_path, *given)[0] == 0
    file, again = tmp_path / "smear.deepheme.db", tmp_path / "again.geojson"
    assert run(monkeypatch, capsys, "export", file, "--to", again)[0] == 0
    own_colours.own_colours.cache_clear()
    for path in (tmp_path / "smear.cells.geojson", again):
        features = json.loads(path.read_text())["features"]
        colours = {tuple(each["properties"]["classification"]["color"]) for each in features}
        assert colours == {(0x12, 0xFE, 0x56)}


def test_kills_at_random_moments_change_nothing(tmp_path, smear_path, toy_bundle_folder):
    """Killed (-9) three times at moments of its own, then resumed to the end: every column the same."""
    program = [sys.executable, "-m", "napari_deepheme", "classify", str(smear_path), "--target-cells", "0"]
    program += ["--model", str(toy_bundle_folder), "--out"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start = time.monotonic()
    subprocess.run([*program, str(whole)], check=True, capture_output=True)
    took, rng = time.monotonic() - start, random.Random(0)
    for _ in range(3):
        process = subprocess.Popen(
            [*program, str(killed)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            process.wait(rng.uniform(0.5, 1.0) * took)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    subprocess.run([*program, str(killed)], check=True, capture_output=True)
    read = []
    for folder in (whole, killed):
        with open_analysis(folder / "smear.deepheme.db") as file:
            assert file.finished
            read.append(cells_table(file.analysis()))
    pd.testing.assert_frame_equal(*read, check_exact=True)
    assert len(read[0]) > 20


def test_progress_goes_on_from_what_is_done(engine, smear_path, tmp_path):
    with open_slide(smear_path) as slide:
        signature = signature_of(slide, engine.bundle, EVERYTHING)
        file, _ = continued(smear_path, tmp_path, signature)
        with file, closing(analyse_with(engine, slide, EVERYTHING, file)) as job:
            while len(file.done()) < 2:
                next(job)
        file, _ = continued(smear_path, tmp_path, signature)
        with file:
            steps = [p for p in analyse_with(engine, slide, EVERYTHING, file) if isinstance(p, CellsReady)]
    assert steps[0].done >= 2
    assert steps[-1].done == steps[-1].total
    with open_slide(smear_path) as slide:
        assert len(drain(analyse(slide, engine.bundle, EVERYTHING)).units) == steps[-1].total
