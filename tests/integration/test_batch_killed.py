"""A worker that is killed in the middle of a batch costs no slide, and of a huge one no more than a tile."""

import os
import signal
from pathlib import Path

import pytest

from napari_deepheme import AnalysisOptions, open_analysis
from napari_deepheme.analysis import locate
from napari_deepheme.batch import Plan, Status, classify_on, connected, groups
from napari_deepheme.detect.choose import STAIN

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class SmallTiles(distributed.WorkerPlugin):
    """Has a small slide split as a huge one is, by workers that are begun again, too."""

    def setup(self, worker):  # noqa: ARG002  dask gives it
        locate.tiles_of.__defaults__ = (96, 0)
        groups.TILES, groups.HUGE = 8, 10


def results(client, slides, plan, kill_every):
    """Rows of a batch, and how many workers were killed: each time that so many changes were told."""
    kills = changes = 0
    job = classify_on(client, [str(slide) for slide in slides], plan)
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            return stop.value, kills
        changes += progress.row.status is Status.RUNNING
        if changes >= kill_every * (kills + 1) and kills < 3:
            kills += 1
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)


def test_workers_killed_in_the_middle_of_twenty_slides_cost_none(tmp_path, toy_bundle_folder, smear_path):
    slides = [tmp_path / f"slide-{number}.svs" for number in range(20)]
    for slide in slides:
        slide.symlink_to(smear_path)
    options = AnalysisOptions(target_cells=0, detector=STAIN)
    plan = Plan(tmp_path / "out", str(toy_bundle_folder), options)
    with connected("local:2") as client:
        rows, kills = results(client, slides, plan, 8)
    assert kills == 3
    assert [row.status for row in rows] == [Status.DONE] * 20
    assert len({(plan.out / f"{slide.stem}.cells.csv").read_bytes() for slide in slides}) == 1


def test_workers_killed_in_the_middle_of_a_huge_slide_cost_no_cell(tmp_path, toy_bundle_folder, smear_path):
    options = AnalysisOptions(target_cells=0, detector=STAIN)
    found = []
    for name, kill_every in (("alone", 10**6), ("killed", 5)):
        plan = Plan(tmp_path / name, str(toy_bundle_folder), options)
        with connected("local:2") as client:
            client.register_plugin(SmallTiles())
            (row,), kills = results(client, [Path(smear_path)], plan, kill_every)
        assert row.status is Status.DONE
        assert kills == (3 if name == "killed" else 0)
        with open_analysis(plan.out / "smear.deepheme.db") as file:
            found.append(file.analysis())
        assert not list(plan.out.glob("*-groups"))
    assert len(found[0].cells) > 20
    assert (found[0].ids == found[1].ids).all()
    assert (found[0].cells.yx == found[1].cells.yx).all()
