"""The cluster that a batch runs on: workers of this machine, or a scheduler's somewhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from napari_deepheme.errors import OptionError

if TYPE_CHECKING:
    from distributed import Client

_LOCAL = "local:"
_ADDRESSES = ("tcp://", "tls://", "ws://", "wss://", "ucx://")
_PATIENCE = 20
"""Seconds to wait for a scheduler."""
DEATHS = 3
"""Workers that may die over one slide before it is given up."""


def n_local(scheduler: str) -> int:
    """Workers of ``local:N``, 0 for the address of a scheduler.

    Raises
    ------
    OptionError
        It is neither, or the library is not installed.
    """
    if find_spec("distributed") is None:
        raise OptionError(
            "--scheduler needs dask.distributed, which is not installed: "
            "pip install 'napari-deepheme[cluster]'."
        )
    count = scheduler.removeprefix(_LOCAL)
    if scheduler.startswith(_LOCAL) and count.isascii() and count.isdigit() and 1 <= int(count) <= 1024:
        return int(count)
    if scheduler.startswith(_ADDRESSES):
        return 0
    raise OptionError(
        f"--scheduler {scheduler}: expected local:N for N workers of this machine, or the address of a "
        "scheduler, such as tcp://host:8786."
    )


def threads_of(scheduler: str | None) -> int:
    """Cores that each process on this machine computes on: those of a worker of ``local:N``, else all."""
    workers = 1 if scheduler is None else max(1, n_local(scheduler))
    return max(1, _cores() // workers)


@contextmanager
def connected(scheduler: str, memory_limit: int | None = None) -> Iterator[Client]:
    """Connect to a scheduler, or start workers of this machine for a while.

    Parameters
    ----------
    scheduler : str
        ``local:N`` starts N processes that share the cores; else the address of a scheduler.
    memory_limit : int, optional
        Bytes that each local worker may take: it takes no more work from 80 % on and is ended at 95 %. By
        default its share of the memory.

    Raises
    ------
    OptionError
        There is no scheduler, or a limit was given for workers that others started.
    """
    count = n_local(scheduler)
    import dask  # noqa: PLC0415  a command without a scheduler does without
    from distributed import Client, LocalCluster  # noqa: PLC0415

    if not count:
        if memory_limit is not None:
            raise OptionError(
                f"--memory-limit: the workers of {scheduler} run already; limit them where they are started "
                "(dask worker --memory-limit)."
            )
        with _reached(scheduler) as client:
            yield client
        return
    settings = {
        "distributed.scheduler.allowed-failures": DEATHS,
        # a worker that died takes a while to start on a busy machine; dask would strike it off after 15 s
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=count,
            threads_per_worker=threads_of(scheduler),
            memory_limit="auto" if memory_limit is None else memory_limit,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # a worker that dies is told of in its slide's row
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _reached(address: str) -> Iterator[Client]:
    from distributed import Client  # noqa: PLC0415  as above

    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError) as err:
        raise OptionError(
            f"--scheduler {address}: no scheduler answers there ({str(err).splitlines()[0][:120]}); start it "
            "(dask scheduler), or correct the address."
        ) from err
    with client:
        yield client


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
