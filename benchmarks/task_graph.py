"""What many slides cost the scheduler of dask: the batch's own dispatch, with tasks that do nothing.

python -m benchmarks.task_graph [TASKS]

The scheduler is a process of its own, so that its processor time and memory are known. A batch gives it as
many slides as there are workers; beside that, all tasks of the graph at once, which is what the batch avoids.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import psutil
from distributed import Client, as_completed, get_worker

from napari_deepheme import drain
from napari_deepheme.batch import Plan, classify_on, dispatch
from napari_deepheme.batch.work import Outcome, Task

WORKERS = 4
REPORT = {"slide": "s" * 100, "analysis": "a" * 100, "files": ["f" * 100] * 2, "warnings": ["w" * 200]}
"""About what the JSON document says of a slide."""


def nothing(task: Task) -> Outcome:
    """A slide that takes no time, and is told of as one that does."""
    worker = get_worker()
    worker.log_event(task.topic, task.event("", worker))
    return Outcome(dict(REPORT), counted=500)


def as_a_batch(client: Client, tasks: list[Task], plan: Plan) -> None:
    """The slides of a batch, whose task is another."""
    dispatch.classify_task = nothing
    rows = drain(classify_on(client, [str(task.slide) for task in tasks], plan))
    assert all(row.report == REPORT for row in rows)


def at_once(client: Client, tasks: list[Task], _plan: Plan) -> None:
    """The whole graph is the scheduler's from the start."""
    for future in as_completed(client.map(nothing, tasks, pure=False, batch_size=10_000)):
        assert future.status == "finished"


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[Client, psutil.Process]]:
    """Four workers and a scheduler, each a process."""
    file = folder / "scheduler.json"
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    begin = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        "--nworkers",
        str(WORKERS),
        "--nthreads",
        "1",
    ]
    options = ["--scheduler-file", str(file), "--no-dashboard"]
    with (
        subprocess.Popen([*start, *options], stderr=subprocess.DEVNULL) as scheduler,
        subprocess.Popen([*begin, *options], stderr=subprocess.DEVNULL) as workers,
    ):
        try:
            with Client(scheduler_file=str(file), timeout=60) as client:
                client.wait_for_workers(WORKERS, timeout=60)
                client.run(import_module, Task.__module__)  # what a task is made of takes seconds to load
                yield client, psutil.Process(scheduler.pid)
        finally:
            workers.terminate()
            scheduler.terminate()


def measure(name: str, number: int, run: Callable[[Client, list[Task], Plan], None], folder: Path) -> None:
    """Print time and memory of the scheduler, and of the process that asks."""
    folder.mkdir()
    plan = Plan(folder / "out")
    plan.out.mkdir()
    slides = [Path(f"/share/slides/2026/case-{i:07d}.svs") for i in range(number)]
    tasks = [Task(i, slide, plan, "0" * 64, "topic", "mark") for i, slide in enumerate(slides)]
    with cluster(folder) as (client, scheduler):
        own, before = psutil.Process(), [spent(scheduler), spent(psutil.Process())]
        start = time.perf_counter()
        run(client, tasks, plan)
        took = time.perf_counter() - start
        parts = [f"{name}: {number} tasks in {took:.0f} s ({1e3 * took / number:.2f} ms each)"]
        for who, process, (seconds, mb) in zip(
            ("scheduler", "client"), (scheduler, own), before, strict=True
        ):
            now = spent(process)
            parts.append(f"{who} {1e3 * (now[0] - seconds) / number:.2f} ms each, {now[1] - mb:.0f} MB more")
    print("; ".join(parts), f"(load {os.getloadavg()[0]:.1f})", flush=True)


def spent(process: psutil.Process) -> tuple[float, float]:
    """Seconds of processors, and MB."""
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss / 1e6


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that scheduler and workers are ended, too
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as scratch:
        measure("all at once", most, at_once, Path(scratch) / "at-once")
        for number in (most // 10, most):  # each task should cost the same
            measure("as a batch", number, as_a_batch, Path(scratch) / f"batch-{number}")


if __name__ == "__main__":
    main()
