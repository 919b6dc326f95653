"""What ``classify`` does with one slide after the other."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from napari_deepheme.analysis.engine import Engine
from napari_deepheme.analysis.options import AnalysisOptions
from napari_deepheme.analysis.result import Analysis, Notice, NoticeKind
from napari_deepheme.analysis.run import analyse_with
from napari_deepheme.analysis.sink import Memory
from napari_deepheme.cli.printing import print_differential, print_line, print_warning, with_bar
from napari_deepheme.errors import OptionError
from napari_deepheme.export.files import write_csv
from napari_deepheme.export.formats import Format, export_cells
from napari_deepheme.export.table import differential_of
from napari_deepheme.given import check_on_slide, read_cells
from napari_deepheme.slide.reader import Slide, open_slide
from napari_deepheme.store import AnalysisFile, continued, signature_of
from napari_deepheme.tables import check_output


def formats_named(formats: str) -> list[Format]:
    """The formats of a list joined by commas; :class:`OptionError` if one is not known."""
    names = [name.strip() for name in formats.split(",")]
    unknown = sorted(set(names) - {each.value for each in Format})
    if unknown:
        raise OptionError(f"--formats: {', '.join(unknown)} is not known; give {', '.join(Format)}.")
    return [Format(name) for name in names]


@dataclass(frozen=True, slots=True)
class Classifying:
    """Classifies slides with one engine and one set of options, and writes their results.

    Attributes
    ----------
    engine : Engine
    options : AnalysisOptions
    out : Path
        Folder of the results.
    formats : list of Format
        To write the cells in.
    store : bool
        Whether an analysis file is written.
    fresh : bool
        Whether an earlier one is left alone.
    show : bool
        Whether the differential is printed.
    """

    engine: Engine
    options: AnalysisOptions
    out: Path
    formats: list[Format]
    store: bool
    fresh: bool
    show: bool

    def run(self, path: Path, mpp: float | None, cells: Path | None, roi: Path | None) -> dict[str, object]:
        """Classify one slide, write its tables, and give its entry of the JSON report."""
        start = time.perf_counter()
        with ExitStack() as opened:
            slide = opened.enter_context(open_slide(path, mpp=mpp))
            for each in self._results(slide.info.path):
                check_output(each)  # before hours of work depend on it
            options = self.options
            if roi is not None:
                check_on_slide(options.regions, slide.info.shape, roi)
            if cells is not None:
                options = replace(options, cells=read_cells(cells, slide.info.mpp))
            file, remarks = self._file(slide, options, opened)
            analysis = with_bar(analyse_with(self.engine, slide, options, file or Memory()))
        report = self._write(analysis, file, remarks)
        return report | {"seconds": round(time.perf_counter() - start, 2)}

    def _results(self, slide: Path) -> list[Path]:
        """Files of a slide: its cells in each format, and the differential."""
        cells = [self.out / f"{slide.stem}.cells.{each}" for each in self.formats]
        return [*cells, self.out / f"{slide.stem}.differential.csv"]

    def _file(
        self, slide: Slide, options: AnalysisOptions, opened: ExitStack
    ) -> tuple[AnalysisFile | None, list[Notice]]:
        if not self.store:
            return None, []
        signature = signature_of(slide, self.engine.bundle, options)
        file, remark = continued(slide.info.path, self.out, signature, fresh=self.fresh)
        opened.enter_context(file)
        return file, [Notice(NoticeKind.STORED, remark)] if remark else []

    def _write(
        self, analysis: Analysis, file: AnalysisFile | None, remarks: list[Notice]
    ) -> dict[str, object]:
        facts = analysis.facts
        path = facts.slide.path
        count = differential_of(analysis)
        *tables, counts = files = self._results(path)
        for each in tables:
            export_cells(analysis, each)
        write_csv(count.table(), counts)
        for notice in (*remarks, *analysis.notices):
            print_warning(f"{path.name}: {notice.text}")
        if self.show:
            print_differential(count, f"{path.name}, model {facts.bundle.name}")
            for each in files if file is None else [*files, file.path]:
                print_line(f"wrote {each}")
        prior = facts.calibration.class_prior if facts.options.assessment.match_prior else None
        mpp = facts.slide.mpp
        return {
            "slide": str(path),
            "analysis": None if file is None else str(file.path),
            "files": [str(each) for each in files],
            "cells": count.n_cells,
            "counted": count.n_counted,
            "needs_review": int(analysis.counting().assessed().needs_review.sum()),
            "mpp": None if mpp is None else sum(mpp) / 2,
            "detector": facts.detector or "given",
            "detection_threshold": facts.detection_threshold(),
            "crowding": round(facts.calibration.crowding, 3),
            "regions": [region.name for region in analysis.regions],
            "failed_units": [key for key, failure in analysis.units.items() if failure],
            "stain_matched": facts.calibration.stain is not None,
            "class_prior": prior and dict(zip(facts.bundle.taxonomy.codes, prior, strict=True)),
            "warnings": [notice.text for notice in (*remarks, *analysis.notices)],
        }
