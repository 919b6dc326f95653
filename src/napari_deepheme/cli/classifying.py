"""What ``classify`` does with its slides: one, one after the other, or many at once."""

from __future__ import annotations

from collections.abc import Sequence

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.batch.cluster import connected
from napari_deepheme.batch.dispatch import classify_on
from napari_deepheme.batch.plan import Plan
from napari_deepheme.batch.rows import BatchProgress, SlideRow, Status
from napari_deepheme.batch.sequence import classify_in_turn, ended
from napari_deepheme.batch.slide_run import Finished, classify_slide
from napari_deepheme.classify.bundle import load_bundle
from napari_deepheme.cli.board import Board, board_for
from napari_deepheme.cli.printing import (
    print_differential,
    print_error,
    print_line,
    print_warning,
    with_bar,
)
from napari_deepheme.errors import DeepHemeError, OptionError
from napari_deepheme.export.files import check_folder
from napari_deepheme.export.formats import Format
from napari_deepheme.jobs import Job, drain
from napari_deepheme.slide.location import shown, slide_path


def formats_named(formats: str) -> list[Format]:
    """The formats of a list joined by commas; :class:`OptionError` if one is not known."""
    names = [name.strip() for name in formats.split(",")]
    unknown = sorted(set(names) - {each.value for each in Format})
    if unknown:
        raise OptionError(f"--formats: {', '.join(unknown)} is not known; give {', '.join(Format)}.")
    return [Format(name) for name in names]


def classify_all(
    slides: Sequence[str], plan: Plan, scheduler: str | None, memory_limit: int | None, *, as_json: bool
) -> list[SlideRow]:
    """Classify slides, say how far they are, and write and print their results.

    Parameters
    ----------
    slides : sequence of str
        Paths and URLs.
    plan : Plan
    scheduler : str or None
        Where several are classified at once, see :func:`~napari_deepheme.batch.connected`; None takes them
        one after the other in this process.
    memory_limit : int or None
        Bytes that a local worker may take.
    as_json : bool
        Whether a program reads the results; the progress of several slides is lines of JSON on stderr then.

    Raises
    ------
    DeepHemeError
        The model, an option or the folder cannot be used; a slide that cannot is a row that says so.
    """
    if scheduler is not None:
        return _on_cluster(slides, plan, scheduler, memory_limit, as_json=as_json)
    engine = Engine(load_bundle(plan.model), plan.run)
    check_folder(plan.out)
    if len(slides) == 1:
        return [_alone(engine, slides[0], plan, show=not as_json)]
    with board_for(len(slides), as_json=as_json) as board:
        rows = _followed(classify_in_turn(engine, slides, plan), board, show=not as_json)
    board.conclude(rows)
    return rows


def _on_cluster(
    slides: Sequence[str], plan: Plan, scheduler: str, memory_limit: int | None, *, as_json: bool
) -> list[SlideRow]:
    with (
        connected(scheduler, memory_limit) as client,
        board_for(len(slides), as_json=as_json, link=client.dashboard_link) as board,
    ):
        rows = _followed(classify_on(client, slides, plan), board, show=False)
    board.conclude(rows)
    return rows


def _alone(engine: Engine, name: str, plan: Plan, *, show: bool) -> SlideRow:
    """One slide, behind a bar of its own."""
    row = SlideRow(shown(name), tries=1)
    try:
        finished = with_bar(classify_slide(engine, plan, slide_path(name)))
    except DeepHemeError as err:
        print_error(err)
        return SlideRow(shown(name), Status.FAILED, str(err), tries=1)
    _say(finished, show=show)
    return ended(row, finished)


def _followed(job: Job[list[SlideRow]], board: Board, *, show: bool) -> list[SlideRow]:
    def report(progress: object) -> None:
        if isinstance(progress, BatchProgress):
            board.take(progress)
            if progress.finished is not None and show:
                with board.aside():
                    _say(progress.finished, show=True)

    return drain(job, report)


def _say(finished: Finished, *, show: bool) -> None:
    """Print what became of a slide: the warnings, and if wanted its numbers and files."""
    facts = finished.analysis.facts
    for notice in finished.notices:
        print_warning(f"{facts.slide.path.name}: {notice.text}")
    if not show:
        return
    print_differential(finished.count, f"{facts.slide.path.name}, model {facts.bundle.name}")
    for each in finished.files:
        print_line(f"wrote {each}")
