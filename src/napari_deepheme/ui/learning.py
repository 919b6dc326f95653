"""Learning from corrections as the window knows it: what was learned, taken into use, or left. No Qt."""

from __future__ import annotations

import math
import shutil
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from psygnal import Signal

from napari_deepheme.adapt.classes import FEWEST
from napari_deepheme.adapt.figures import Figure
from napari_deepheme.adapt.learning import Changes, Lesson, enough, thresholds_for
from napari_deepheme.analysis.learned import Learned
from napari_deepheme.errors import OutputError
from napari_deepheme.stats.assessment import AssessmentOptions
from napari_deepheme.store import SUFFIX
from napari_deepheme.ui.networks import Networks
from napari_deepheme.ui.other_labels import LabelledFile, OtherLabels, counts_of
from napari_deepheme.ui.session import Session

_NO_FILE = "Learning needs an analysis with a file that can be written, not a table or one in memory."
_MOST_NAMED = 4


class Proposal:
    """What was learned for an analysis and is not in use yet; its bundle lies in a folder that goes with it.

    Parameters
    ----------
    session : Session
        The analysis.
    lesson : Lesson
    changes : Changes or None
        What it would change; None where nothing was gained.
    folder : Path
        Temporary, with the bundle in it.
    """

    def __init__(self, session: Session, lesson: Lesson, changes: Changes | None, folder: Path) -> None:
        self.session, self.lesson, self.changes = session, lesson, changes
        self._discard = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def keep(self, folder: Path) -> Path:
        """Move the bundle to where it stays; gives its path there.

        Raises
        ------
        OutputError
            It cannot be written there.
        """
        here = Path(str(self.lesson.adapted.bundle.root))
        there = folder / here.name
        try:
            if there.exists():
                raise FileExistsError(17, "it is there already")
            shutil.move(here, there)
        except OSError as err:
            raise OutputError(f"{there}: the learned model cannot be put there ({err.strerror}).") from err
        return there

    def discard(self) -> None:
        """Remove the bundle where it was not kept."""
        self._discard()


class Learning:
    """The part of :class:`~napari_deepheme.ui.state.ViewerState` that is about models.

    Signals
    -------
    learned : None
        There is a proposal, or there is none any more.
    """

    learned = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.networks = Networks()
        self.other_labels = OtherLabels()
        self._proposals: dict[int, Proposal] = {}

    @property
    def session(self) -> Session | None:
        """The analysis in hand."""
        raise NotImplementedError

    @property
    def sessions(self) -> Sequence[Session]:
        """All analyses that are open."""
        raise NotImplementedError

    @property
    def others_to_learn_from(self) -> list[LabelledFile]:
        """Analyses that a person chose beside the one in hand, to learn from their labels as well."""
        session = self.session
        return self.other_labels.chosen(self.sessions, session) if session is not None else []

    @property
    def proposal(self) -> Proposal | None:
        """What was learned for the analysis in hand and waits for a person."""
        return self._proposals.get(id(self.session))

    def propose(self, proposal: Proposal) -> None:
        """Let a person decide on what was learned."""
        self._drop(proposal.session)
        self._proposals[id(proposal.session)] = proposal
        self.learned.emit()

    def leave_proposal(self) -> None:
        """Forget what was learned for the analysis in hand."""
        if self.session is not None:
            self._drop(self.session)
            self.learned.emit()

    def use_proposal(self) -> None:
        """Call the cells that nobody settled by what was learned; it is put beside the analysis file.

        Raises
        ------
        DeepHemeError
            Model or file cannot be written.
        """
        proposal, session = self.proposal, self.session
        if proposal is None or session is None or session.file is None or proposal.lesson.learned is None:
            return
        learned = replace(proposal.lesson.learned, folder=proposal.keep(session.file.path.parent))
        self._drop(session)
        self._switched(session, learned)

    def use_model(self, number: int | None) -> None:
        """Call the cells by a learned model of the file, or (None) by the run's own.

        Raises
        ------
        AnalysisFileError
            The file cannot be written.
        """
        if self.session is not None:
            self._switched(self.session, number)

    def _switched(self, session: Session, learned: Learned | int | None) -> None:
        raise NotImplementedError

    def _drop(self, session: Session) -> None:
        proposal = self._proposals.pop(id(session), None)
        if proposal is not None:
            proposal.discard()


def free_name(file: Path) -> str:
    """Name for a model learned from an analysis file, such that none beside it has it."""
    stem, number = f"{file.name.removesuffix(SUFFIX)}-learned", 1
    name = stem
    while (file.parent / name).exists():
        number += 1
        name = f"{stem}-{number}"
    return name


def why_not(session: Session | None, others: Sequence[LabelledFile] = (), *, running: bool) -> str:
    """Why one cannot learn from the corrections of an analysis, and of others, now; empty if one can."""
    if session is None:
        return "There are no classified cells yet."
    analysis = session.analysis
    if session.file is None or analysis is None:
        return _NO_FILE
    counts = counts_of(session, others)
    if not enough(counts, analysis.facts.bundle.taxonomy):
        return f"Needs {FEWEST} labels in each of two classes, or of a new one: {_so_far(counts)}."
    return "A run is under way; wait for it, or cancel it." if running else ""


def ready_line(session: Session, others: Sequence[LabelledFile] = ()) -> str:
    """What there is to learn from, in a line."""
    counts = counts_of(session, others)
    used = {code: n for code, n in counts.items() if n >= FEWEST}
    left = {code: n for code, n in counts.items() if n < FEWEST}
    where = f" in {1 + len(others)} analyses" if others else ""
    line = f"{sum(used.values())} labels of {len(used)} classes{where} to learn from"
    return f"{line} (too few: {_so_far(left)})" if left else line


def with_thresholds(session: Session, options: AssessmentOptions) -> AssessmentOptions:
    """Thresholds after another model was taken into use; with the run's own its usual ones again."""
    facts = session.file.facts() if session.file is not None else None
    analysis = session.analysis
    if facts is None or analysis is None:
        return options
    if analysis.learned is not None:
        return thresholds_for(analysis.facts.bundle, facts.bundle, options)
    own = facts.bundle.review.threshold
    return replace(options, review_threshold=None) if options.review_threshold == own else options


def _so_far(counts: Mapping[str, int]) -> str:
    named = [f"{code} {n} of {FEWEST}" for code, n in counts.items()]
    return (
        ", ".join(named[:_MOST_NAMED]) + (" …" if len(named) > _MOST_NAMED else "") if named else "none yet"
    )


def proposal_lines(proposal: Proposal) -> list[str]:
    """What was learned, in words: figures before and after, calls that would move, and what to mind."""
    lesson, changes = proposal.lesson, proposal.changes
    adapted = lesson.adapted
    n = sum(adapted.counts.values())
    figures = []
    for name, title in (("accuracy", "right"), ("balanced_accuracy", "mean recall")):
        before, after = adapted.before[name], adapted.after[name]
        shown = [_per_cent(each) for each in (before, after)]
        figures.append(f"{title} {shown[0]} → {shown[1]}")
    labels, others = f"{n} labels", "the others"
    if lesson.slides > 1:
        labels, others = f"{labels} on {lesson.slides} slides", "other slides"
    lines = [f"{labels}, each judged by what was learned from {others}: {', '.join(figures)}."]
    if changes is None:
        parent = adapted.bundle.spec.parent
        name = f"{parent.name} {parent.version}" if parent is not None else "the model"
        lines.append(f"No gain was seen, so {name} stays in use. More labels may change that.")
        return lines
    lines.append(_moves(changes))
    few = adapted.bundle.spec.review.threshold <= 0
    kept = ", by the former threshold: so few labels vouch for none" if few else ""
    lines.append(f"To review: {changes.to_review[0]} → {changes.to_review[1]}{kept}")
    return [*lines, *(f"⚠ {notice}" for notice in adapted.notices)]


def _per_cent(figure: Figure) -> str:
    """A figure with its interval where there is one."""
    known = not math.isnan(figure.low)
    return f"{100 * figure.value:.0f} %" + (
        f" ({100 * figure.low:.0f}–{100 * figure.high:.0f})" if known else ""
    )


def _moves(changes: Changes) -> str:
    total = sum(changes.moved.values())
    parts = [f"{n} {a}→{b}" for (a, b), n in [*changes.moved.items()][:_MOST_NAMED]]
    more = " …" if len(changes.moved) > _MOST_NAMED else ""
    what = f": {', '.join(parts)}{more}" if parts else ""
    return f"{total} of {changes.cells} calls would change{what}"
