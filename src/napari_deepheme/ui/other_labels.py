"""Analyses beside the one in hand whose labels can be learned from as well. No Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_deepheme.adapt.learning import labelled_counts
from napari_deepheme.adapt.sources import CorrectedAnalysis
from napari_deepheme.errors import OptionError
from napari_deepheme.export.table import cells_table
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.store import open_analysis
from napari_deepheme.ui.session import Session


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """An analysis file with cells that a person labelled.

    Attributes
    ----------
    path : Path
    slide : Path or RemotePath
        Where its slide lies.
    counts : mapping of str to int
        Its labels, by class.
    """

    path: Path
    slide: SlidePath
    counts: Mapping[str, int]

    @property
    def source(self) -> CorrectedAnalysis:
        """Reads its labelled cells."""
        return CorrectedAnalysis(self.path, slide=self.slide)

    @property
    def line(self) -> str:
        """File and labels, for a person."""
        n = sum(self.counts.values())
        return f"{self.path.name} · {n} label{'' if n == 1 else 's'}"


class OtherLabels:
    """Those that a person chose, for as long as the viewer is open."""

    def __init__(self) -> None:
        self._added: dict[Path, LabelledFile] = {}
        self._chosen: set[Path] = set()

    def offered(self, sessions: Iterable[Session], in_hand: Session) -> list[LabelledFile]:
        """Open analyses with labels, of the model of the one in hand; then the files that were added."""
        here = in_hand.file
        if here is None:
            return []
        found = dict(self._added)
        for session in sessions:
            if session.file is None or session is in_hand:
                continue
            path, counts = session.file.path.resolve(), labelled_counts(session.table)
            same = session.file.signature.get("model") == here.signature.get("model")
            if path in found or (same and counts):
                found[path] = LabelledFile(path, session.slide, counts)
        found.pop(here.path.resolve(), None)
        return list(found.values())

    def chosen(self, sessions: Iterable[Session], in_hand: Session) -> list[LabelledFile]:
        """Those of the offered ones to learn from."""
        return [each for each in self.offered(sessions, in_hand) if each.path in self._chosen and each.counts]

    def is_chosen(self, path: Path) -> bool:
        """Whether to learn from a file."""
        return path in self._chosen

    def choose(self, path: Path, *, on: bool) -> None:
        """Learn from a file, or no longer."""
        (self._chosen.add if on else self._chosen.discard)(path)

    def add(self, path: Path) -> None:
        """Offer the labels of an analysis file, and choose them.

        Raises
        ------
        AnalysisFileError
            It is damaged, of a newer version, or no analysis.
        OptionError
            A person labelled none of its cells, or its slide is not on this machine.
        """
        with open_analysis(path) as file:
            analysis = file.analysis()
        counts, slide = labelled_counts(cells_table(analysis)), analysis.facts.slide.path
        if not counts:
            raise OptionError(f"{path}: a person labelled none of its cells; review some first.")
        # a file of someone else must not make this machine call a server
        if not isinstance(slide, Path) or not slide.exists():
            raise OptionError(
                f"{path}: its slide {slide.name} is not where it was; open the analysis in the window, which "
                "asks for it."
            )
        path = path.resolve()
        self._added[path] = LabelledFile(path, slide, counts)
        self._chosen.add(path)


def together(*counts: Mapping[str, int]) -> dict[str, int]:
    """Labels by class, of several analyses."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())


def counts_of(session: Session, others: Sequence[LabelledFile]) -> dict[str, int]:
    """Labels to learn from, by class: of the analysis in hand and of others."""
    return together(labelled_counts(session.table), *(each.counts for each in others))
