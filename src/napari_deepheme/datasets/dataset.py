"""Labelled images of single cells to train on: a folder of classes, or a table."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from napari_deepheme.datasets.folders import labelled_images
from napari_deepheme.datasets.labels import listed
from napari_deepheme.errors import OptionError, TableError, TaxonomyError
from napari_deepheme.files import is_file, is_folder, read_bounded
from napari_deepheme.tables import MAX_TABLE_BYTES, separator_of
from napari_deepheme.taxonomy import PRESETS, Taxonomy, codes_meant

TRAIN, VAL = "train", "val"

_SPLITS = {"": None, "train": TRAIN, "val": VAL, "validation": VAL}
_SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test"}
_BOX_COLUMNS = ("box_cx", "box_cy", "box_w", "box_h")


@dataclass(frozen=True, slots=True)
class Box:
    """A cell's box, in fractions of the image's width and height; ``x`` and ``y`` are its middle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """An image of one cell to learn from.

    Attributes
    ----------
    path : Path
    label : str
        As the set names it.
    code : str
        Class of the taxonomy that is trained.
    patient : str, optional
    split : str, optional
        "train" or "val", where a table gives it.
    box : Box, optional
    """

    path: Path
    label: str
    code: str
    patient: str | None = None
    split: str | None = None
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images to train on, and what a person should know of them."""

    images: tuple[TrainingImage, ...]
    warnings: tuple[str, ...]


def read_dataset(source: Path, taxonomy: Taxonomy) -> Dataset:
    """Find the images of a set and the classes they have in ``taxonomy``.

    Parameters
    ----------
    source : Path
        A folder of a folder per class (see :func:`labelled_images`), or a CSV with the columns ``path``
        (relative to the CSV) and ``label``, and if known ``patient``, ``split`` (train, val) and
        ``box_cx``, ``box_cy``, ``box_w``, ``box_h`` (fractions of the image, the middle first).
    taxonomy : Taxonomy

    Raises
    ------
    OptionError
        ``source`` does not exist, or is a folder without images of classes.
    TableError
        A fault of the CSV, or images that it names and that are not there.
    TaxonomyError
        A label is unknown, or means several classes of ``taxonomy``.
    """
    found, warnings = read_images(source, taxonomy)
    codes = _codes({image.label for image in found}, taxonomy, source)
    images = tuple(replace(image, code=codes[image.label]) for image in found)
    lacking = [code for code in taxonomy.codes if code not in codes.values()]
    if lacking:
        warnings.append(f"{source} has no image of {', '.join(lacking)}: the model will not know them.")
    return Dataset(images, tuple(warnings))


def read_images(source: Path, taxonomy: Taxonomy) -> tuple[list[TrainingImage], list[str]]:
    """Images of a set under the names it gives their classes (``code`` is empty), and what to know of them.

    ``taxonomy`` only helps to tell folders of classes from others. Parameters and errors are otherwise those
    of :func:`read_dataset`.
    """
    if is_file(source):
        return _table(source), []
    if not is_folder(source):
        raise OptionError(f"{source} does not exist; expected a folder with a folder per class, or a CSV.")
    found = [TrainingImage(image.path, image.label, "") for image in labelled_images(source, taxonomy)]
    return found, _folder_warnings(source, found)


def _codes(labels: set[str], taxonomy: Taxonomy, source: Path) -> dict[str, str]:
    """The one class of ``taxonomy`` that each label means."""
    meant = {label: codes_meant(label, taxonomy) for label in sorted(labels)}
    unknown = [label for label, codes in meant.items() if not codes]
    if unknown:
        raise TaxonomyError(
            f"{source}: taxonomy {taxonomy.name} has no class for {', '.join(map(repr, unknown))}; it knows "
            f"{', '.join(taxonomy.codes)}. Rename these labels or leave their images out."
        )
    coarse = [label for label, codes in meant.items() if len(codes) > 1]
    if coarse:
        covered = "; ".join(f"{label} covers {', '.join(meant[label])}" for label in coarse)
        fitting = [name for name, t in PRESETS.items() if all(len(codes_meant(x, t)) == 1 for x in labels)]
        raise TaxonomyError(
            f"{source}: {covered} of taxonomy {taxonomy.name}, so their images cannot teach which; relabel "
            f"them as one of these classes, or train a taxonomy with {', '.join(coarse)} as a class"
            f"{f' ({listed(fitting)})' if fitting else ''}."
        )
    return {label: codes[0] for label, codes in meant.items()}


def _folder_warnings(source: Path, images: Iterable[TrainingImage]) -> list[str]:
    """Halves of a set are joined when it is read as a folder; whoever laid them out may mean otherwise."""
    above = {name for image in images for name in image.path.relative_to(source).parts[:-1]}
    halves = sorted(name for name in above if name.casefold() in _SPLIT_FOLDERS)
    if not halves:
        return []
    return [
        f"{source}: the folders {', '.join(halves)} are not taken as a split, their images are joined; "
        "give a CSV with a split column to keep them apart."
    ]


def _table(path: Path) -> list[TrainingImage]:
    images = [_row(row, f"{path}, line {line}", path.parent) for line, row in _rows(path)]
    if not images:
        raise TableError(f"{path}: there is no row below the header.")
    twice = [str(image) for image, times in Counter(image.path for image in images).items() if times > 1]
    if twice:
        raise TableError(f"{path}: listed more than once: {listed(twice)}; keep one row of each image.")
    missing = [str(image.path) for image in images if not is_file(image.path)]
    if missing:
        raise TableError(
            f"{path}: {len(missing)} of {len(images)} images are not there: {listed(missing)}; paths are "
            f"relative to {path.parent}."
        )
    check_complete(images, f"{path}: ")
    _check_patients(images, path)
    return images


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each row, blanks stripped."""
    try:
        text = read_bounded(path, MAX_TABLE_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(StringIO(text, newline=""), delimiter=separator_of(text), restval="")
        # cells beyond the header come as a list under the name None
        rows = [
            (reader.line_num, {k.strip(): v.strip() for k, v in row.items() if k is not None})
            for row in reader
        ]
        columns = [name.strip() for name in reader.fieldnames or ()]
    except (OSError, ValueError, csv.Error) as err:
        raise TableError(f"{path} cannot be read as a table ({err}); expected CSV in UTF-8.") from err
    boxed = [name for name in _BOX_COLUMNS if name in columns]
    lacking = [name for name in ("path", "label", *(_BOX_COLUMNS if boxed else ())) if name not in columns]
    if lacking:
        raise TableError(
            f"{path} lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; "
            f"it has {', '.join(columns) or 'none'}. Columns are named exactly so."
        )
    return rows


def _row(row: dict[str, str], where: str, folder: Path) -> TrainingImage:
    empty = [name for name in ("path", "label") if not row[name]]
    if empty:
        raise TableError(f"{where}: there is no {' and no '.join(empty)}.")
    split = row.get("split", "").casefold()
    if split not in _SPLITS:
        raise TableError(f"{where}: split {row['split']!r} is not known; expected train or val.")
    return TrainingImage(
        path=folder / row["path"],
        label=row["label"],
        code="",
        patient=row.get("patient") or None,
        split=_SPLITS[split],
        box=_box(row, where),
    )


def _box(row: dict[str, str], where: str) -> Box | None:
    cells = [row.get(name, "") for name in _BOX_COLUMNS]
    if not any(cells):
        return None
    try:
        x, y, width, height = (float(cell) for cell in cells)
    except ValueError:
        x = math.nan
    if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 and 0 < height <= 1):
        raise TableError(
            f"{where}: {', '.join(map(repr, cells))} is no box; expected {', '.join(_BOX_COLUMNS)} as "
            "fractions (0 to 1) of the image's width and height, or all four empty."
        )
    return Box(x, y, width, height)


def _check_patients(images: Iterable[TrainingImage], path: Path) -> None:
    splits = defaultdict(set)
    for image in images:
        if image.patient and image.split:
            splits[image.patient].add(image.split)
    both = [patient for patient, halves in splits.items() if len(halves) > 1]
    if both:
        raise TableError(
            f"{path}: patients in both train and val: {listed(both)}; put all images of a patient in one."
        )


def check_complete(images: Sequence[TrainingImage], where: str = "") -> None:
    """Refuse images of which only some have a split, or, without splits, only some a patient.

    Raises
    ------
    TableError
    """
    for name, given in (
        ("split", [image.split for image in images]),
        ("patient", [image.patient for image in images]),
    ):
        without = [str(image.path) for image, value in zip(images, given, strict=True) if value is None]
        if 0 < len(without) < len(images):
            raise TableError(
                f"{where}{len(without)} of {len(images)} images have no {name}, such as {without[0]}; give "
                f"it for all of them or for none."
            )
        if not without:
            return
