"""Labelled cells from folders, tables, and a person's corrections of a ``cells.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_deepheme.adapt.labelled import Grouping, LabelledCells, LabelSource
from napari_deepheme.analysis.audit import named_at_random
from napari_deepheme.classify.bundle import BundleSpec
from napari_deepheme.datasets.dataset import TrainingImage, read_images
from napari_deepheme.datasets.folders import check_mpp, crop_or_fault
from napari_deepheme.datasets.labels import listed
from napari_deepheme.errors import OptionError, ScaleError, SlideError, TableError
from napari_deepheme.export.table import PERSON, cells_table
from napari_deepheme.files import is_file, is_folder
from napari_deepheme.jobs import Job, Progress
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.slide.reader import Slide, open_slide
from napari_deepheme.slide.tiles import crops, prefetch
from napari_deepheme.store import SUFFIX, open_analysis
from napari_deepheme.tables import header_of, read_table

_POSITION = ("x_px", "y_px")
_COLUMNS = (*_POSITION, "label", "label_source")


def label_sources(paths: Sequence[Path], mpp: float | None) -> list[LabelSource]:
    """Find out what each path is.

    Parameters
    ----------
    paths : sequence of Path
        Folders of a folder per class, tables ``path,label[,patient]``, analysis files, and ``cells.csv``
        files each followed by its slide.
    mpp : float, optional
        µm per pixel of the images of folders and tables; of slides, where the file does not say it.

    Raises
    ------
    OptionError
        A path is none of these, a table of cells has no slide, or images come without ``mpp``.
    """
    found: list[LabelSource] = []
    waiting = list(paths)
    while waiting:
        path = waiting.pop(0)
        if is_file(path) and path.name.endswith(SUFFIX):
            found.append(CorrectedAnalysis(path, mpp))
        elif is_file(path) and _is_cells_table(path):
            if not waiting or waiting[0].suffix.lower() == ".csv" or not waiting[0].is_file():
                raise OptionError(f"{path} holds positions on a slide; give the slide right after it.")
            found.append(CorrectedCells(path, waiting.pop(0), mpp))
        elif is_folder(path) or path.suffix.lower() in (".csv", ".tsv"):
            if mpp is None:
                raise OptionError(
                    f"{path}: --mpp, the µm per pixel of the images, is not known; give it (0.25 at 40×)."
                )
            found.append(LabelledImages(path, mpp))
        else:
            raise OptionError(
                f"{path} does not exist or holds no labels; expected a folder with a folder per class, a CSV "
                "(path,label[,patient]), an analysis file, or a cells.csv followed by its slide."
            )
    return found


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images of single cells: a folder of a folder per class, or a table ``path,label[,patient]``."""

    source: Path
    mpp: float

    def read(self, spec: BundleSpec) -> Job[LabelledCells]:
        """Read the middle of each image; those that cannot be read are left out and said."""
        check_mpp(self.mpp)
        _check_scale(self.mpp, spec)
        images, notices = read_images(self.source, spec.taxonomy)
        kept: list[TrainingImage] = []
        pixels: list[NDArray[np.uint8]] = []
        faults: list[str] = []
        paths = [image.path for image in images]
        with closing(prefetch(paths, lambda path: crop_or_fault(path, self.mpp, spec), ahead=8)) as found:
            for i, (image, crop) in enumerate(zip(images, found, strict=True)):
                if isinstance(crop, str):
                    faults.append(crop)
                else:
                    kept.append(image)
                    pixels.append(crop)
                if i % 32 == 0:
                    yield Progress("Reading labelled cells", i + 1, len(images))
        if not pixels:
            raise SlideError(f"{self.source}: none of {len(images)} images can be read: {faults[0]}")
        by_patient = kept[0].patient is not None
        names = tuple(str(image.path) for image in kept)
        patients = tuple(f"{image.patient}" for image in kept)
        return LabelledCells(
            np.stack(pixels),
            tuple(image.label for image in kept),
            names,
            patients if by_patient else names,
            Grouping.PATIENT if by_patient else Grouping.IMAGE,
            patients if by_patient else (str(self.source),) * len(kept),
            (*notices, *(f"Left out, unreadable: {fault}" for fault in faults)),
        )


@dataclass(frozen=True, slots=True)
class CorrectedCells:
    """The cells of a ``cells.csv`` that a person labelled (``label_source`` is "person"), and their slide."""

    table: Path
    slide: Path
    mpp: float | None = None

    def read(self, spec: BundleSpec) -> Job[LabelledCells]:
        """Read a crop around each; :class:`OptionError` if a person labelled none."""
        rows = _person_rows(self.table)
        yield Progress("Reading labelled cells", 0, len(rows), self.slide.name)
        with open_slide(self.slide, mpp=self.mpp) as slide:
            return on_slide(rows, slide, spec, self.table)


@dataclass(frozen=True, slots=True)
class CorrectedAnalysis:
    """The cells of an analysis file that a person labelled, and its slide.

    Attributes
    ----------
    file : Path
    mpp : float, optional
        µm per pixel of the slide, instead of what the file says.
    slide : SlidePath, optional
        Where the slide lies, if not where the file says.
    """

    file: Path
    mpp: float | None = None
    slide: SlidePath | None = None

    def read(self, spec: BundleSpec) -> Job[LabelledCells]:
        """Read a crop around each; :class:`OptionError` if a person labelled none."""
        with open_analysis(self.file) as opened:
            analysis = opened.analysis()
        table = cells_table(analysis)
        rows = table[(table["label_source"] == PERSON) & (table["label"] != "")]
        if rows.empty:
            raise OptionError(
                f"{self.file}: a person labelled none of its cells; correct some in napari first."
            )
        info = analysis.facts.slide
        path = self.slide or info.path
        yield Progress("Reading labelled cells", 0, len(rows), path.name)
        own = info.mpp[0] if info.mpp else None
        with open_slide(path, mpp=self.mpp or own) as slide:
            return on_slide(rows, slide, spec, self.file, named_at_random(analysis))


def on_slide(
    rows: pd.DataFrame,
    slide: Slide,
    spec: BundleSpec,
    source: SlidePath,
    drawn: frozenset[int] = frozenset(),
) -> LabelledCells:
    """Labelled cells of a table, with their crops from the slide.

    Parameters
    ----------
    rows : DataFrame
        In the columns of ``cells.csv``.
    slide : Slide
    spec : BundleSpec
    source : SlidePath
        Named where the cells do not fit.
    drawn : frozenset of int
        Ids of those that were drawn at random.

    Raises
    ------
    ScaleError, TableError
        The slide is too coarse, or cells lie beside it.
    """
    _check_scale(max(slide.scale()), spec)
    yx, path = rows[["y_px", "x_px"]].to_numpy(np.float64), slide.info.path
    outside = (yx < 0).any(axis=1) | (yx >= slide.info.shape).any(axis=1)
    if outside.any():
        y, x = yx[outside][0]
        raise TableError(
            f"{source}: {outside.sum()} cells, such as x {x:g}, y {y:g}, lie outside {path.name}; "
            "give the slide they were found on."
        )
    pixels = crops(slide, yx, spec.input_px, spec.mpp)
    names = tuple(f"{path.name} x {x:g} y {y:g}" for y, x in yx)
    slides = (str(path),) * len(rows)
    at_random = [name for name, cell in zip(names, rows.get("cell_id", ()), strict=False) if cell in drawn]
    return LabelledCells(
        pixels,
        tuple(rows["label"]),
        names,
        slides,
        Grouping.SLIDE,
        slides,
        at_random=frozenset(at_random),
    )


def _check_scale(mpp: float, spec: BundleSpec) -> None:
    """Refuse images that cannot show what the model looks at, with :class:`ScaleError`."""
    if mpp > 2 * spec.mpp:
        raise ScaleError(
            f"Images at {mpp:g} µm/px are too coarse for {spec.name}, which looks at {spec.mpp:g}; "
            f"expected {2 * spec.mpp:g} µm/px or finer."
        )


def _is_cells_table(path: Path) -> bool:
    return {"x_px", "y_px", "label"} <= header_of(path)


def _person_rows(path: Path) -> pd.DataFrame:
    table = read_table(path, _POSITION)
    lacking = [name for name in _COLUMNS if name not in table]
    if lacking:
        raise TableError(f"{path} lacks the columns {listed(lacking)}; expected a cells.csv.")
    rows = table[(table["label_source"] == PERSON) & (table["label"] != "")].copy()
    if rows.empty:
        raise OptionError(
            f"{path}: a person labelled none of its {len(table)} cells (label_source is nowhere "
            f"{PERSON!r}); correct some in napari first."
        )
    if rows[list(_POSITION)].isna().to_numpy().any():
        raise TableError(f"{path}: x_px and y_px must hold a number in every row that a person labelled.")
    return rows
