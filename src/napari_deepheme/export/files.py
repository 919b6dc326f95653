"""Tables on disk: written whole or not at all, read back in our columns."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from napari_deepheme.errors import OutputError, TableError
from napari_deepheme.export.table import NEWER_NUMBERS, NUMBER_COLUMNS, PROBABILITY, TEXT_COLUMNS
from napari_deepheme.tables import header_of, read_table, write_whole

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


def read_cells_csv(path: Path) -> pd.DataFrame:
    """Read a ``cells.csv``, ours or one that napari or a spreadsheet saved, in our columns.

    Raises
    ------
    TableError
        Not such a table, or a number that is none or not finite.
    """
    import pandas as pd  # noqa: PLC0415  half a second that finding cells need not wait for

    table = read_table(path, ("cell_id", *NUMBER_COLUMNS, *NEWER_NUMBERS))
    missing = [
        name for name in ("cell_id", *NUMBER_COLUMNS, *TEXT_COLUMNS, "needs_review") if name not in table
    ]
    if missing:
        raise TableError(
            f"{path} is not a table of cells: the columns {', '.join(missing)} are missing; "
            "expected a cells.csv written by napari-deepheme."
        )
    if table[["cell_id", "x_px", "y_px"]].isna().to_numpy().any():
        raise TableError(f"{path}: cell_id, x_px and y_px must hold a number in every row.")
    # columns that napari adds in front (index, axis-0, axis-1) say nothing more
    ours = table.loc[:, "cell_id":]
    texts = {name: ours[name].map(_unguard) for name in TEXT_COLUMNS}
    shares = {
        name: pd.to_numeric(ours[name], errors="coerce").astype(float)
        for name in map(str, ours.columns)
        if name.startswith(PROBABILITY)
    }
    return ours.assign(
        cell_id=ours["cell_id"].astype("int64"),
        needs_review=ours["needs_review"].str.strip().str.lower().isin(["true", "1", "wahr", "vrai"]),
        **texts,
        **shares,
    )


def is_cells_csv(path: Path) -> bool:
    """Whether a file's header is that of a table of cells."""
    return {"cell_id", "x_px", "y_px", "label"} <= header_of(path)


def guard(value: object) -> object:
    """Text that a spreadsheet would take for a formula, with a leading apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _unguard(value: str) -> str:
    return value[1:] if value[:1] == "'" and value[1:2] in ("=", "+", "-", "@", "\t", "\r") else value
