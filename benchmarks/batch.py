"""A batch on local workers: two against one, and workers that are killed (-9) in the middle of it.

python -m benchmarks.batch speed [SLIDE [SLIDES]]       ratio of the times of two workers and of one
python -m benchmarks.batch kill [SLIDE [SLIDES]]        every table must be that of an undisturbed run
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import dask
from distributed import Client, LocalCluster

from napari_deepheme import AnalysisOptions, drain
from napari_deepheme.batch import Plan, SlideRow, Status, classify_on

SLIDE = Path("../shared/data/slides/mosaic/blood_40x.svs")
KILL_EVERY = 3
"""Slides that end between two kills."""


def copies(slide: Path, folder: Path, number: int) -> list[str]:
    """Links to one slide under names of their own."""
    folder.mkdir()
    links = [folder / f"slide-{i:02d}{slide.suffix}" for i in range(number)]
    for link in links:
        link.symlink_to(slide.resolve())
    return [str(link) for link in links]


def cluster(workers: int) -> LocalCluster:
    """Workers of one thread; the times of more would be those of the cores they share."""
    return LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
    )


def timed(client: Client, slides: list[str], out: Path) -> tuple[float, float]:
    """Seconds of a batch whose workers have their networks loaded, and of the processors of its workers."""
    plan = Plan(out, options=AnalysisOptions(target_cells=0))
    busy, start = sum(client.run(time.process_time).values()), time.perf_counter()
    rows = drain(classify_on(client, slides, plan))
    took = time.perf_counter() - start
    assert all(row.status is Status.DONE for row in rows), rows
    return took, sum(client.run(time.process_time).values()) - busy


def speed(slide: Path, number: int) -> None:
    """Two workers against one; the first slides of each load the networks and do not count."""
    with tempfile.TemporaryDirectory() as scratch:
        slides = copies(slide, Path(scratch) / "slides", number)
        times, busy = {}, {}
        for workers in (1, 2):
            with cluster(workers) as local, Client(local) as client:
                timed(client, slides[:workers], Path(scratch) / f"warm-{workers}")
                times[workers], busy[workers] = timed(client, slides, Path(scratch) / f"out-{workers}")
            rates = [number * 3600 / each for each in (times[workers] * workers, busy[workers])]
            print(
                f"{workers} workers: {times[workers]:.1f} s, {rates[0]:.0f} slides per worker-hour; "
                f"{busy[workers]:.1f} s of processors, {rates[1]:.0f} slides per core-hour",
                flush=True,
            )
    # where others use the machine, the second says what it would be if they did not
    print(
        f"two workers are {times[1] / times[2]:.2f} × one; by time of processors "
        f"{2 * busy[1] / busy[2]:.2f} × (load of the machine {os.getloadavg()[0]:.1f})"
    )


def kill(slide: Path, number: int) -> None:
    """Kill a worker each time that some slides have ended."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        slides = copies(slide, Path(scratch) / "slides", number)
        plan = Plan(Path(scratch) / "out", options=AnalysisOptions(target_cells=200))
        with (
            dask.config.set(
                {"distributed.scheduler.allowed-failures": 3, "distributed.deploy.lost-worker-timeout": "1h"}
            ),
            cluster(2) as local,
            Client(local) as client,
        ):
            rows, kills = killed(client, slides, plan, rng)
        tables = {(plan.out / f"{Path(name).stem}.cells.csv").read_bytes() for name in slides}
        print(f"{kills} workers killed; {sum(row.tries for row in rows)} tries for {number} slides")
        print(f"{sum(row.status is Status.DONE for row in rows)} of {number} done")
        print(f"{len(tables)} different tables of one slide (1 is right)")


def killed(client: Client, slides: list[str], plan: Plan, rng: random.Random) -> tuple[list[SlideRow], int]:
    """Run a batch and kill workers while it runs."""
    kills, ended = 0, 0
    job = classify_on(client, slides, plan)
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            return stop.value, kills
        if progress.done >= ended + KILL_EVERY and "cells counted" in progress.message:
            ended = progress.done
            pids = list(client.run(os.getpid).values())
            os.kill(rng.choice(pids), signal.SIGKILL)
            kills += 1


if __name__ == "__main__":
    what = {"speed": speed, "kill": kill}[sys.argv[1]]
    given = sys.argv[2:]
    what(Path(given[0]) if given else SLIDE, int(given[1]) if len(given) > 1 else 20)
