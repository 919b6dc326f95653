"""An analysis as tables on disk, and the cell table back from disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_deepheme.analyse.analysis import Analysis
from napari_deepheme.errors import OutputError, TableError
from napari_deepheme.slide.reader import Slide
from napari_deepheme.stats.differential import Differential
from napari_deepheme.stats.uncertainty import uncertainty
from napari_deepheme.taxonomy import Taxonomy

TEXT_COLUMNS = (
    "class",
    "class_name",
    "top2_class",
    "conformal_set",
    "review_reason",
    "label",
    "label_source",
    "region",
)
NUMBER_COLUMNS = (
    "x_px",
    "y_px",
    "x_um",
    "y_um",
    "confidence",
    "top2_confidence",
    "entropy",
    "mutual_information",
    "agreement",
    "detector_score",
)
PROBABILITY = "p_"

_RING_UM = 16.0


def cells_table(analysis: Analysis, first_id: int = 1) -> pd.DataFrame:
    """One row per cell, in the columns of ``cells.csv``.

    Positions are level-0 pixels and µm, x before y; entropies in nats; ``class`` is the model's call,
    ``label`` the one that counts; ``p_<CODE>`` are the calibrated ensemble probabilities. Cells are numbered
    from ``first_id``.
    """
    cells, mean, spec = analysis.cells, analysis.predictions.mean, analysis.bundle
    mpp = analysis.slide.mpp or (np.nan, np.nan)
    codes = np.array(spec.taxonomy.codes, dtype=object)
    names = np.array([cell_class.name for cell_class in spec.taxonomy.classes], dtype=object)
    second, first = np.argsort(mean, axis=1, kind="stable")[:, -2:].T
    rows = np.arange(len(cells))
    doubt = uncertainty(analysis.predictions)
    doubtful = doubt.entropy > spec.review.threshold
    # of the others, artefacts and the like, it is no news that they resemble no cell
    counted = np.array([cell_class.counted for cell_class in spec.taxonomy.classes])[first]
    far = np.inf if spec.ood is None else spec.ood.threshold
    strange = counted & (analysis.predictions.distance > far)
    y, x = cells.yx.T
    columns: dict[str, NDArray[np.generic]] = {
        "cell_id": np.arange(first_id, first_id + len(cells)),
        "x_px": x.round(2),
        "y_px": y.round(2),
        "x_um": (x * mpp[1]).round(3),
        "y_um": (y * mpp[0]).round(3),
        "class": codes[first],
        "class_name": names[first],
        "confidence": _rounded(mean[rows, first]),
        "top2_class": codes[second],
        "top2_confidence": _rounded(mean[rows, second]),
        "entropy": _rounded(doubt.entropy),
        "mutual_information": _rounded(doubt.mutual_information),
        "agreement": _rounded(doubt.agreement),
        "conformal_set": _sets(mean, codes, spec.conformal.threshold),
        "needs_review": doubtful | strange,
        "review_reason": _reasons(doubtful, strange, spec.review.threshold),
        "label": codes[first],
        "label_source": np.full(len(cells), "model", dtype=object),
        "region": np.array([region.name for region in analysis.regions], dtype=object)[cells.region],
        "detector_score": _rounded(cells.score),
    }
    probabilities = {f"{PROBABILITY}{code}": _rounded(mean[:, k]) for k, code in enumerate(codes)}
    return pd.DataFrame(columns | probabilities)


def _reasons(
    doubtful: NDArray[np.bool_], strange: NDArray[np.bool_], threshold: float
) -> NDArray[np.object_]:
    entropy, unlike = f"entropy above {threshold:.2f}", "unlike the cells learned from"
    both = np.where(doubtful & strange, f"{entropy}; {unlike}", np.where(doubtful, entropy, unlike))
    reasons: NDArray[np.object_] = np.where(doubtful | strange, both, "").astype(object)
    return reasons


def differential(table: pd.DataFrame, taxonomy: Taxonomy) -> Differential:
    """Differential count of a table of cells, by the labels that count."""
    return Differential.of(table["label"].tolist(), table["entropy"].to_numpy(np.float64), taxonomy)


def write_picture(slide: Slide, table: pd.DataFrame, taxonomy: Taxonomy, path: Path) -> None:
    """Write the slide as PNG, its longer side at most 2048 px, with a class-coloured ring on each cell.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    pixels, downsample = slide.overview()
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    radius = max(4.0, _RING_UM / 2 / (slide.scale()[0] * downsample[0]))
    for x, y, label in zip(table["x_px"], table["y_px"], table["label"], strict=True):
        column, row = (x + 0.5) / downsample[1] - 0.5, (y + 0.5) / downsample[0] - 0.5
        box = (column - radius, row - radius, column + radius, row + radius)
        draw.ellipse(box, outline=taxonomy[label].colour, width=2)
    _write_whole(path, lambda part: picture.save(part, "PNG"))


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV, whole or not at all.

    Text that a spreadsheet would take for a formula gets a leading apostrophe.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    text = table.select_dtypes(include=["object", "string"]).columns
    guarded = table.assign(**{name: table[name].map(_guard) for name in text})
    _write_whole(path, lambda part: guarded.to_csv(part, index=False, encoding="utf-8", lineterminator="\n"))


def check_folder(folder: Path) -> None:
    """Make an output folder and see that it can be written, before hours of work depend on it.

    Raises
    ------
    OutputError
        It cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as err:
        raise OutputError(
            f"The output folder {folder} cannot be written ({err.strerror or err}); choose another."
        ) from err


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a part file, then move it into place, so that no half file is ever left."""
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        part.replace(path)
    except OSError as err:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written ({err.strerror or err}); choose another file, or free some space."
        ) from err


def read_cells(path: Path) -> pd.DataFrame:
    """Read a ``cells.csv``, ours or one napari saved from our points layer, in our columns.

    Raises
    ------
    TableError
        Not such a table, or positions that are no numbers.
    """
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in NUMBER_COLUMNS})
    except (OSError, ValueError) as err:
        raise TableError(f"{path} cannot be read as a table ({err}); expected a cells.csv.") from err
    missing = [
        name for name in ("cell_id", *NUMBER_COLUMNS, *TEXT_COLUMNS, "needs_review") if name not in table
    ]
    if missing:
        raise TableError(
            f"{path} is not a table of cells: the columns {', '.join(missing)} are missing; "
            "expected a cells.csv written by napari-deepheme."
        )
    try:
        numbers = table[list(NUMBER_COLUMNS)].apply(pd.to_numeric)
    except ValueError as err:
        raise TableError(f"{path}: a column that must hold numbers does not ({err}).") from err
    if numbers[["x_px", "y_px"]].isna().to_numpy().any():
        raise TableError(f"{path}: x_px and y_px must hold a number in every row.")
    # columns that napari adds in front (index, axis-0, axis-1) say nothing more
    ours = table.loc[:, "cell_id":]
    texts = {name: ours[name].astype(str).map(_unguard) for name in TEXT_COLUMNS}
    return ours.assign(**{name: numbers[name] for name in NUMBER_COLUMNS}, **texts)


def is_cells_csv(path: Path) -> bool:
    """Whether a file's header is that of a table of cells."""
    try:
        with path.open(encoding="utf-8") as file:
            header = set(file.readline().strip().split(","))
    except (OSError, UnicodeDecodeError):
        return False
    return {"cell_id", "x_px", "y_px", "label"} <= header


def _rounded(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return values.astype(np.float64).round(4)


def _sets(mean: NDArray[np.float32], codes: NDArray[np.object_], threshold: float) -> NDArray[np.object_]:
    """Conformal sets as codes joined by blanks, most probable first; never empty."""
    order = np.argsort(-mean, axis=1, kind="stable")
    size = np.maximum((mean >= threshold).sum(axis=1), 1)
    sets = [" ".join(codes[row[:n]]) for row, n in zip(order, size, strict=True)]
    return np.array(sets, dtype=object)


def _guard(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _unguard(value: str) -> str:
    return value[1:] if value[:1] == "'" and value[1:2] in ("=", "+", "-", "@", "\t", "\r") else value
