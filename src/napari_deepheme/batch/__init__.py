"""Many slides: one after the other in this process, or each a task of a dask.distributed cluster.

::

    from napari_deepheme import drain
    from napari_deepheme.batch import Plan, classify_on, connected

    plan = Plan(out=Path("results"))
    with connected("local:4") as client:
        rows = drain(classify_on(client, ["a.svs", "https://example.org/b.svs"], plan), print)
"""

from __future__ import annotations

from napari_deepheme.batch.cluster import connected
from napari_deepheme.batch.dispatch import classify_on
from napari_deepheme.batch.plan import Plan
from napari_deepheme.batch.rows import BatchProgress, SlideRow, Status
from napari_deepheme.batch.sequence import classify_in_turn

__all__ = [
    "BatchProgress",
    "Plan",
    "SlideRow",
    "Status",
    "classify_in_turn",
    "classify_on",
    "connected",
]
