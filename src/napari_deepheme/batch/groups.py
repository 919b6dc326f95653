"""The tiles of a huge slide in groups: each a task with an analysis file of its own, merged in the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from napari_deepheme.analysis.apart import classified_apart
from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.locate import Unit, tile_units
from napari_deepheme.analysis.prepare import whole
from napari_deepheme.analysis.result import UnitResult
from napari_deepheme.analysis.run import begun
from napari_deepheme.batch.opened import analysis_options, naming_what_is_saved, opened_analysis
from napari_deepheme.batch.plan import Plan
from napari_deepheme.errors import AnalysisFileError
from napari_deepheme.jobs import Job, Progress, ahead
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.slide.reader import Slide, open_slide
from napari_deepheme.store import AnalysisFile, continued, numbered_analyses, open_analysis
from napari_deepheme.store.codec import calibration_json
from napari_deepheme.tables import check_output

TILES = 512
"""To a group: minutes of work, so that opening the slide for it costs little and a death loses little."""
HUGE = 1024
"""A slide of more tiles is split."""


@dataclass(frozen=True, slots=True)
class Group:
    """Some tiles of a slide that is searched as a whole.

    Attributes
    ----------
    analysis : Path
        Of the slide; it holds the calibration that all groups share.
    number, total : int
        Which group it is, from 0 on, of how many.
    """

    analysis: Path
    number: int
    total: int

    @property
    def folder(self) -> Path:
        """Where the groups of the slide are kept until they are merged."""
        return self.analysis.with_name(f"{self.analysis.name}-groups")

    @property
    def name(self) -> Path:
        """What its own analysis is called after."""
        return Path(f"group-{self.number:05d}")


def groups_to_do(engine: Engine, plan: Plan, path: SlidePath) -> Job[list[Group]]:
    """Groups of a huge slide that are to be classified; none where one task does the slide, or merges it.

    The analysis of the slide is begun, so that all groups rest on one calibration.
    """
    if not plan.store or plan.cells is not None or plan.options.target_cells:
        return []
    with open_slide(path, mpp=plan.mpp) as slide:
        slide.scale()
        options = analysis_options(plan, slide)
        units = tile_units(slide, options.regions or (whole(slide),), engine.detector(options))
        if len(units) <= HUGE:
            return []
        for each in plan.results(path):
            check_output(each)  # before hours of work depend on it
        file, _ = opened_analysis(engine, plan, slide, options)
        with file:
            yield from begun(engine, slide, options, file)
            return [] if file.finished else _to_do(file, units)


def classify_group(engine: Engine, plan: Plan, path: SlidePath, group: Group) -> Job[None]:
    """Classify the tiles of a group; goes on with what is saved of it."""
    with open_analysis(group.analysis) as whole_file:
        facts = whole_file.facts()
        if facts is None or whole_file.finished:  # another run has merged the groups meanwhile
            return
        signature = _signature(whole_file)
    group.folder.mkdir(exist_ok=True)
    file, _ = continued(group.name, group.folder, signature)
    with file, open_slide(path, mpp=plan.mpp) as slide:
        if file.finished:
            return
        yield Progress("Loading the model")
        engine.load(facts.options)
        file.begin(replace(facts, calibration_cells=b""))
        units = tile_units(slide, facts.regions, engine.detector(facts.options))[_tiles(group.number)]
        done = file.done()
        n = len(done)
        results = ahead(classified_apart(engine, slide, facts, units, done))
        with naming_what_is_saved(file), closing(results):
            for some in results:
                for unit in some or ():
                    file.commit(unit)
                    n += 1
                yield Progress("Classifying cells", n, len(units))
        file.finish(())


def parts_of(engine: Engine, slide: Slide, file: AnalysisFile) -> Iterator[UnitResult] | None:
    """All units of a slide whose groups are done, in their order; None where one is missing."""
    facts = file.facts()
    if facts is None or file.finished or not Group(file.path, 0, 0).folder.is_dir():
        return None
    units = tile_units(slide, facts.regions, engine.detector(facts.options))
    if _to_do(file, units):
        return None
    signature = _signature(file)
    found = (_finished(group, signature) for group in _groups(file, units))
    return (unit for path in found if path is not None for unit in _units(path))


def remove_groups(analysis: Path) -> None:
    """Remove what was kept of the groups of an analysis that holds them all."""
    shutil.rmtree(Group(analysis, 0, 0).folder, ignore_errors=True)


def _tiles(number: int) -> slice:
    return slice(number * TILES, (number + 1) * TILES)


def _groups(file: AnalysisFile, units: Sequence[Unit]) -> list[Group]:
    total = -(-len(units) // TILES)
    return [Group(file.path, number, total) for number in range(total)]


def _to_do(file: AnalysisFile, units: Sequence[Unit]) -> list[Group]:
    """Groups that are neither merged nor finished."""
    done, signature = file.done(), _signature(file)
    return [
        group
        for group in _groups(file, units)
        if not all(unit.key in done for unit in units[_tiles(group.number)])
        and _finished(group, signature) is None
    ]


def _signature(file: AnalysisFile) -> Mapping[str, str]:
    """What the analysis of a group must share to be one of this analysis."""
    facts = file.facts()
    calibration = "" if facts is None else calibration_json(facts.calibration)
    return {
        **file.signature,
        "calibration": sha256(calibration.encode()).hexdigest()[:16],
        "tiles to a group": str(TILES),
    }


def _finished(group: Group, signature: Mapping[str, str]) -> Path | None:
    for path in numbered_analyses(group.name, group.folder):
        try:
            with open_analysis(path) as file:
                if file.finished and file.signature == signature:
                    return path
        except AnalysisFileError:  # its worker was killed when it made the file
            continue
    return None


def _units(path: Path) -> list[UnitResult]:
    with open_analysis(path) as file:
        return file.results()
