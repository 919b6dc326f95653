"""Tables on disk: written whole or not at all, read back in our columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from napari_deepheme.errors import OutputError, TableError
from napari_deepheme.export.table import NEWER_NUMBERS, NUMBER_COLUMNS, TEXT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV, whole or not at all.

    Text that a spreadsheet would take for a formula gets a leading apostrophe.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    safe = guarded(table)
    write_whole(path, lambda part: safe.to_csv(part, index=False, encoding="utf-8", lineterminator="\n"))


def guarded(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts no spreadsheet takes for formulas."""
    text = table.select_dtypes(include=["object", "string"]).columns
    return table.assign(**{name: _guarded(table[name]) for name in text})


def _guarded(column: pd.Series[Any]) -> pd.Series[Any]:
    # texts repeat: each different one is looked at once
    safe = {text: guard(text) for text in column.unique()}
    return column.map(safe) if any(safe[text] != text for text in safe) else column


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


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
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


def read_cells_csv(path: Path) -> pd.DataFrame:
    """Read a ``cells.csv``, ours or one napari saved from our points layer, in our columns.

    Raises
    ------
    TableError
        Not such a table, or positions that are no numbers.
    """
    import pandas as pd  # noqa: PLC0415  half a second that finding cells need not wait for

    try:
        # napari writes "nan" where we leave a field empty
        blank = {name: ["", "nan"] for name in (*NUMBER_COLUMNS, *NEWER_NUMBERS)}
        table = pd.read_csv(path, keep_default_na=False, na_values=blank)
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


def guard(value: object) -> object:
    """Text that a spreadsheet would take for a formula, with a leading apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _unguard(value: str) -> str:
    return value[1:] if value[:1] == "'" and value[1:2] in ("=", "+", "-", "@", "\t", "\r") else value
