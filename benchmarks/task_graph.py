"""What many slides cost the scheduler of dask: tasks that do nothing, all at once and a few at a time.

python -m benchmarks.task_graph [TASKS]
"""

from __future__ import annotations

import os
import sys
import time

from distributed import Client, LocalCluster, as_completed

WORKERS = 4
TASK_BYTES = 1200
"""Of a slide's task: its path, the plan and the digest of the model, pickled."""


def nothing(number: int, weight: bytes) -> int:
    """A slide that takes no time."""
    return number + len(weight) - TASK_BYTES


def resident() -> float:
    """MB that this process takes; the scheduler lives in it."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def at_once(client: Client, tasks: int) -> None:
    """The whole graph is the scheduler's from the start."""
    weight = os.urandom(TASK_BYTES)
    futures = client.map(nothing, range(tasks), weight=weight, pure=False, batch_size=10_000)
    for _ in as_completed(futures):
        pass


def a_few(client: Client, tasks: int) -> None:
    """As many as there are workers, as a batch of slides does it."""
    weight = os.urandom(TASK_BYTES)
    running = as_completed([client.submit(nothing, i, weight, pure=False) for i in range(WORKERS)])
    for i, _ in enumerate(running, start=WORKERS):
        if i < tasks:
            running.add(client.submit(nothing, i, weight, pure=False))


def main() -> None:
    """Time and memory of both."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    # one at a time they cost the same each, however many there are
    for name, run, tasks in (("all at once", at_once, most), ("a few at a time", a_few, most // 10)):
        with (
            LocalCluster(
                WORKERS, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster) as client,
        ):
            before, start = resident(), time.perf_counter()
            run(client, tasks)
            took = time.perf_counter() - start
            print(
                f"{name:16} {tasks} tasks: {took:.0f} s, {1e3 * took / tasks:.2f} ms a task, "
                f"{resident() - before:.0f} MB more (load {os.getloadavg()[0]:.1f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
