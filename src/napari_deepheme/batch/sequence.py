"""Slides one after the other, in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.batch.plan import Plan
from napari_deepheme.batch.rows import SlideRow, Status, batch_progress
from napari_deepheme.batch.slide_run import Finished, classify_slide
from napari_deepheme.errors import DeepHemeError
from napari_deepheme.export.files import check_folder
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.location import shown, slide_path


def classify_in_turn(engine: Engine, slides: Sequence[str], plan: Plan) -> Job[list[SlideRow]]:
    """Classify slides one after the other; one that cannot be used does not cost the others.

    Yields
    ------
    BatchProgress
        With the row of the slide in hand.

    Returns
    -------
    list of SlideRow
        In the order of the slides.

    Raises
    ------
    OutputError
        The folder of the results cannot be written.
    """
    check_folder(plan.out)
    rows: list[SlideRow] = []
    for name in slides:
        row, start = SlideRow(shown(name), Status.RUNNING, tries=1), time.perf_counter()
        yield batch_progress(row, len(rows), len(slides))
        finished: Finished | None = None
        job = classify_slide(engine, plan, slide_path(name))
        try:
            while True:
                row = advanced(row, next(job), time.perf_counter() - start)
                yield batch_progress(row, len(rows), len(slides))
        except StopIteration as stop:
            finished = stop.value
            row = ended(row, finished)
        except DeepHemeError as err:
            row = replace(row, status=Status.FAILED, message=str(err))
        finally:
            job.close()
        rows.append(row)
        yield batch_progress(row, len(rows), len(slides), finished)
    return rows


def advanced(row: SlideRow, progress: Progress, seconds: float) -> SlideRow:
    """The row of a slide whose analysis is so far after so many seconds."""
    return replace(row, message=progress.message or progress.stage, seconds=round(seconds, 2))


def ended(row: SlideRow, finished: Finished) -> SlideRow:
    """The row of a slide that is done."""
    status = Status.KEPT if finished.was_done else Status.DONE
    seconds = float(str(finished.report["seconds"]))
    return replace(
        row,
        status=status,
        message="",
        cells=finished.count.n_counted,
        seconds=seconds,
        report=finished.report,
    )
