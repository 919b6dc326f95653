"""A huge slide whose tiles are classified in groups: the same cells as in one run, whoever does them."""

from dataclasses import replace

import numpy as np
import pytest

from napari_deepheme import AnalysisOptions, RunOptions, drain, open_analysis
from napari_deepheme.analysis import locate
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.batch import Plan, Status, classify_in_turn, classify_on, groups, work
from napari_deepheme.batch.groups import classify_group, groups_to_do
from napari_deepheme.detect.choose import STAIN
from napari_deepheme.errors import UnreachableError
from napari_deepheme.store import AnalysisFile
from napari_deepheme.store.opening import create_analysis

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:unclosed")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Tiles of 96 px, five to a group: most cells lie near a border, and many are found from both sides."""
    monkeypatch.setattr(locate, "TILE_PX", 96)
    monkeypatch.setattr(locate.tiles_of, "__defaults__", (96, 0))
    monkeypatch.setattr(groups, "TILES", 5)
    monkeypatch.setattr(groups, "HUGE", 10)


@pytest.fixture
def plan(tmp_path, toy_bundle_folder):
    options = AnalysisOptions(target_cells=0, detector=STAIN)
    (tmp_path / "out").mkdir()
    return Plan(tmp_path / "out", str(toy_bundle_folder), options, RunOptions())


@pytest.fixture
def engine(toy_bundle, plan):
    return Engine(toy_bundle, plan.run)


@pytest.fixture
def alone(engine, plan, small_smear_path, tmp_path):
    """What one process makes of the slide."""
    drain(classify_in_turn(engine, [str(small_smear_path)], replace(plan, out=tmp_path / "alone")))
    return analysis_in(tmp_path / "alone")


def analysis_in(folder):
    with open_analysis(folder / "smear.deepheme.db") as file:
        return file.analysis()


def check_same(analysis, alone):
    """Compare cell for cell; networks may round differently in other batches."""
    assert len(alone.cells) > 20
    np.testing.assert_array_equal(analysis.ids, alone.ids)
    for name in ("yx", "diameter_um", "score", "region"):
        np.testing.assert_array_equal(getattr(analysis.cells, name), getattr(alone.cells, name))
    np.testing.assert_allclose(analysis.raw.members, alone.raw.members, atol=2e-3)
    assert list(analysis.units) == list(alone.units)
    assert analysis.facts.notices == alone.facts.notices
    assert analysis.finished


def test_groups_done_in_any_order_are_merged_to_what_one_run_gives(engine, plan, small_smear_path, alone):
    to_do = drain(groups_to_do(engine, plan, small_smear_path))
    assert len(to_do) == to_do[0].total > 3
    for group in reversed(to_do):
        drain(classify_group(engine, plan, small_smear_path, group))
    assert sum(map(cells_in, to_do[0].folder.glob("*.db"))) > len(alone.cells)  # some are in two of them
    (row,) = drain(classify_in_turn(engine, [str(small_smear_path)], plan))
    assert row.status is Status.DONE
    check_same(analysis_in(plan.out), alone)
    assert not to_do[0].folder.exists()


def cells_in(path):
    with open_analysis(path) as file:
        return len(file.analysis().cells)


def test_a_run_again_does_only_the_groups_that_are_missing(
    engine, plan, small_smear_path, alone, monkeypatch
):
    first, *others = drain(groups_to_do(engine, plan, small_smear_path))
    drain(classify_group(engine, plan, small_smear_path, first))
    job = classify_group(engine, plan, small_smear_path, others[0])
    while not (others[0].folder / f"{others[0].name}.deepheme.db").exists():
        next(job)
    job.close()
    assert drain(groups_to_do(engine, plan, small_smear_path)) == others
    for group in others:
        drain(classify_group(engine, plan, small_smear_path, group))
    assert drain(groups_to_do(engine, plan, small_smear_path)) == []
    # a merge that is interrupted goes on, too
    commit, committed = AnalysisFile.commit, []

    def failing(self, unit):
        committed.append(unit.key)
        if len(committed) == 9:
            raise UnreachableError("its disk failed.")
        return commit(self, unit)

    monkeypatch.setattr(AnalysisFile, "commit", failing)
    monkeypatch.setattr("napari_deepheme.analysis.apart.classified_apart", None)  # nothing is computed again
    for expected in (Status.FAILED, Status.DONE):
        (row,) = drain(classify_in_turn(engine, [str(small_smear_path)], plan))
        assert row.status is expected
    check_same(analysis_in(plan.out), alone)


def test_groups_of_another_calibration_are_not_taken(engine, plan, small_smear_path):
    to_do = drain(groups_to_do(engine, plan, small_smear_path))
    for group in to_do:
        drain(classify_group(engine, plan, small_smear_path, group))
    assert drain(groups_to_do(engine, plan, small_smear_path)) == []
    with open_analysis(to_do[0].analysis) as file:
        facts, signature = file.facts(), file.signature
    to_do[0].analysis.unlink()
    with create_analysis(to_do[0].analysis, signature) as file:
        file.begin(replace(facts, calibration=replace(facts.calibration, crowding=0.5)))
    assert drain(groups_to_do(engine, plan, small_smear_path)) == to_do


def test_a_cluster_shares_a_huge_slide_and_begins_a_failed_group_again(
    client, plan, small_smear_path, alone, monkeypatch
):
    whole, failed, done = work.classify_group, [], []

    def failing(engine, plan, path, group):
        if group.number == 2 and not failed:
            failed.append(group)
            raise RuntimeError("odd")
        done.append(group.number)
        return (yield from whole(engine, plan, path, group))

    monkeypatch.setattr(work, "classify_group", failing)
    progress = []
    (row,) = drain(classify_on(client, [str(small_smear_path)], plan), progress.append)
    assert (row.status, row.tries) == (Status.DONE, 2)
    assert sorted(done) == list(range(max(done) + 1))
    assert any("groups of tiles are done" in each.row.message for each in progress)
    check_same(analysis_in(plan.out), alone)
    assert [row.status for row in drain(classify_on(client, [str(small_smear_path)], plan))] == [Status.KEPT]
