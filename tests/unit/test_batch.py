"""A batch of slides on a cluster in this process: who is begun again, who is left, what is kept."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from napari_deepheme import AnalysisOptions, RunOptions, drain, open_analysis
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.batch import (
    Plan,
    Status,
    classify_in_turn,
    classify_on,
    connected,
    dispatch,
    other_runs,
    work,
)
from napari_deepheme.batch.cluster import threads_of
from napari_deepheme.batch.memory import batch_size_within, bytes_of
from napari_deepheme.cli.board import JsonLines
from napari_deepheme.detect.choose import STAIN
from napari_deepheme.errors import BusyError, OptionError, UnreachableError
from napari_deepheme.store import AnalysisFile, continued

pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:unclosed")


@pytest.fixture
def slides(tmp_path, small_smear_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.svs").symlink_to(small_smear_path)
    return [str(folder / f"{name}.svs") for name in ("a", "b", "c")]


@pytest.fixture
def plan(tmp_path, toy_bundle_folder):
    options = AnalysisOptions(target_cells=5, detector=STAIN)
    return Plan(tmp_path / "out", str(toy_bundle_folder), options, RunOptions())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(dispatch, "_LOOK_EVERY", 0.05)


def statuses(rows):
    return [row.status for row in rows]


def test_a_cluster_gives_what_one_process_gives_and_keeps_what_is_done(
    client, slides, plan, tmp_path, toy_bundle
):
    bad = tmp_path / "bad.svs"
    bad.write_text("not a slide")
    rows = drain(classify_on(client, [*slides[:2], str(bad)], plan))
    assert statuses(rows) == [Status.DONE, Status.DONE, Status.FAILED]
    assert "not a slide" in rows[2].message
    assert rows[2].tries == 1
    alone = replace(plan, out=tmp_path)
    (own,) = drain(classify_in_turn(Engine(toy_bundle, plan.run), slides[:1], alone))
    for row, folder in ((rows[0], plan.out), (own, tmp_path)):
        assert row.report["files"][0] == str(folder / "a.cells.csv")
    assert (plan.out / "a.cells.csv").read_bytes() == (tmp_path / "a.cells.csv").read_bytes()
    again = drain(classify_on(client, slides, plan))
    assert statuses(again) == [Status.KEPT, Status.KEPT, Status.DONE]
    assert not list(plan.out.glob(".*"))


def test_what_may_pass_is_tried_again_and_what_does_not_is_said(client, slides, plan, monkeypatch):
    left = {"a.svs": 1, "b.svs": 99, "c.svs": 99}
    whole = work.classify_slide

    def failing(engine, plan, path):
        left[path.name] -= 1
        if left[path.name] >= 0:
            raise UnreachableError("no net") if path.name == "b.svs" else RuntimeError("odd")
        return (yield from whole(engine, plan, path))

    monkeypatch.setattr(work, "classify_slide", failing)
    rows = drain(classify_on(client, slides, plan, retries=1))
    assert statuses(rows) == [Status.DONE, Status.FAILED, Status.FAILED]
    assert [row.tries for row in rows] == [2, 2, 2]
    assert (rows[1].message, rows[1].is_fault) == ("no net", False)
    assert (rows[2].message, rows[2].is_fault) == ("RuntimeError: odd", True)


def test_a_slide_that_another_run_has_is_waited_for_and_not_made_twice(client, slides, plan):
    plan.out.mkdir()
    drain(classify_on(client, slides[:1], plan))
    busy = open_analysis(plan.out / "a.deepheme.db", write=True)
    seen = []
    for progress in classify_on(client, slides[:2], plan):
        seen.append((Path(progress.row.slide).name, progress.row.status))
        if progress.row.status is Status.BUSY:
            busy.close()
    assert ("a.svs", Status.BUSY) in seen
    assert seen[-1] == ("a.svs", Status.KEPT)
    assert len(list(plan.out.glob("a*.db"))) == 1


def test_a_run_that_stands_still_is_not_waited_for_without_end(client, slides, plan, monkeypatch):
    drain(classify_on(client, slides[:1], plan))
    monkeypatch.setattr(other_runs, "BUSY_SECONDS", 0.1)
    with open_analysis(plan.out / "a.deepheme.db", write=True):
        (row,) = drain(classify_on(client, slides[:1], plan))
    assert row.status is Status.FAILED
    assert "written by another program" in row.message


def test_closing_the_job_cancels_and_the_next_run_goes_on(client, slides, plan):
    job = classify_on(client, slides, plan)
    next(job)
    job.close()
    assert not list(plan.out.glob(".deepheme-run*"))
    assert {row.status for row in drain(classify_on(client, slides, plan))} <= {Status.DONE, Status.KEPT}


def test_a_folder_that_the_worker_does_not_see_is_refused(client, slides, plan, monkeypatch):
    monkeypatch.setattr(dispatch.Path, "touch", lambda self: None)
    (row,) = drain(classify_on(client, slides[:1], plan))
    assert "all machines share" in row.message


def test_a_worker_with_another_model_of_that_name_says_so(plan):
    with pytest.raises(OptionError, match="another one of that name"):
        work.engine_of(plan, "other", 1)


def test_two_that_look_for_a_file_at_once_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_deepheme.store.places.CHOICE_SECONDS", 0.05)
    with FileLock(tmp_path / ".a.deepheme.db-choice"), pytest.raises(BusyError):
        continued(Path("a.svs"), tmp_path, {"slide": "1"})
    file, _ = continued(Path("a.svs"), tmp_path, {"slide": "1"})
    with pytest.raises(BusyError):
        continued(Path("a.svs"), tmp_path, {"slide": "1"})
    file.close()
    assert [each.name for each in tmp_path.iterdir()] == ["a.deepheme.db"]


def test_no_slide_has_the_folder_of_the_results_listed(slides, plan, toy_bundle, monkeypatch):
    listed = []
    for name in ("scandir", "listdir"):
        whole = getattr(os, name)
        listing = lambda path=".", whole=whole: (listed.append(os.fspath(path)), whole(path))[1]  # noqa: E731
        monkeypatch.setattr(os, name, listing)
    engine = Engine(toy_bundle, plan.run)
    for expected in (Status.DONE, Status.KEPT):
        assert statuses(drain(classify_in_turn(engine, slides, plan))) == [expected] * 3
    assert str(plan.out) not in listed
    assert len(list(plan.out.iterdir())) == 9
    assert str(plan.out) in listed


def test_a_run_goes_on_with_its_analysis_where_others_were_removed(tmp_path):
    made = [continued(Path("a.svs"), tmp_path, {"slide": str(number)})[0] for number in range(4)]
    for file in made:
        file.close()
    for file in made[:3]:
        file.path.unlink()
    file, _ = continued(Path("a.svs"), tmp_path, {"slide": "3"})
    file.close()
    assert file.path.name == "a.4.deepheme.db"


@pytest.mark.parametrize("fault", ["disk", "read"])
def test_a_full_disk_and_a_failing_one_name_the_file_and_what_is_saved(
    smear_path, plan, toy_bundle, monkeypatch, fault
):
    plan = replace(plan, options=replace(plan.options, target_cells=0))
    commit = AnalysisFile.commit
    committed = []

    def failing(self, unit):
        if len(committed) == 1 and fault == "disk":
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
            self._connection.execute(f"PRAGMA max_page_count = {pages}")
        if len(committed) == 1 and fault == "read":
            raise UnreachableError("smear.svs: its disk failed.")
        while True:  # a full disk is met when what is left of the last page is used up
            ids = commit(self, replace(unit, key=f"{unit.key} {len(committed)}"))
            committed.append(unit.key)
            if len(committed) == 1 or fault == "read":
                return ids

    monkeypatch.setattr(AnalysisFile, "commit", failing)
    (row,) = drain(classify_in_turn(Engine(toy_bundle, plan.run), [str(smear_path)], plan))
    assert row.status is Status.FAILED
    said = {"disk": "its disk is full", "read": "smear.svs: its disk failed"}[fault]
    assert said in row.message
    assert f"parts of the slide are saved in {plan.out / 'smear.deepheme.db'}" in row.message


def test_limits_of_memory_are_read_and_shrink_the_batch():
    assert [bytes_of(text) for text in ("4GB", "800 mb", "2GiB", "7")] == [4 * 10**9, 8 * 10**8, 2**31, 7]
    assert batch_size_within(None, 2) == batch_size_within(10**11, 64) == RunOptions().batch_size
    assert 1 <= batch_size_within(bytes_of("1GB"), 2) < RunOptions().batch_size
    assert batch_size_within(bytes_of("1.05GB"), 2) > batch_size_within(bytes_of("1GB"), 2)
    with pytest.raises(OptionError, match="on each of 4 cores"):
        batch_size_within(bytes_of("1GB"), 4)
    assert threads_of("local:1") == threads_of(None) == threads_of("tcp://a:1") >= threads_of("local:2") >= 1
    assert threads_of("local:1024") == 1
    for text in ("4 parsecs", "-1GB", "100MB"):
        with pytest.raises(OptionError, match="--memory-limit"):
            batch_size_within(bytes_of(text), 1)


def test_progress_for_programs_is_a_line_of_json_for_each_change(client, slides, plan, capsys):
    with JsonLines("http://here") as board:
        rows = drain(classify_on(client, slides[:1], plan), board.take)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == {"event": "dashboard", "link": "http://here"}
    assert (lines[-1]["status"], lines[-1]["done"], lines[-1]["total"]) == ("done", 1, 1)
    assert lines[-1]["counted"] == rows[0].cells


def test_what_is_no_scheduler_is_refused():
    for text in ("local:0", "here", "local:x"):
        with pytest.raises(OptionError, match="--scheduler"), connected(text):
            pass
    with pytest.raises(OptionError, match="limit them where they are started"), connected("tcp://a:1", 5):
        pass
