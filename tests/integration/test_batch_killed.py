"""A worker that is killed in the middle of a batch costs no slide."""

import os
import signal

import pytest

from napari_deepheme import AnalysisOptions
from napari_deepheme.batch import Plan, Status, classify_on, connected
from napari_deepheme.detect.choose import STAIN


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_workers_killed_in_the_middle_of_twenty_slides_cost_none(tmp_path, toy_bundle_folder, smear_path):
    pytest.importorskip("distributed")
    slides = [tmp_path / f"slide-{number}.svs" for number in range(20)]
    for slide in slides:
        slide.symlink_to(smear_path)
    options = AnalysisOptions(target_cells=0, detector=STAIN)
    plan = Plan(tmp_path / "out", str(toy_bundle_folder), options)
    kills, rows = 0, None
    with connected("local:2") as client:
        job = classify_on(client, [str(slide) for slide in slides], plan)
        while rows is None:
            try:
                progress = next(job)
            except StopIteration as stop:
                rows = stop.value
                break
            if progress.done >= 5 * (kills + 1) and progress.row.status is Status.RUNNING and kills < 3:
                kills += 1
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    assert kills == 3
    assert [row.status for row in rows] == [Status.DONE] * 20
    assert len({(plan.out / f"{slide.stem}.cells.csv").read_bytes() for slide in slides}) == 1
