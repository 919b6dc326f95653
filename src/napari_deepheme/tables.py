"""Files of results: written whole by any number of processes, checked before the work; tables read back."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_deepheme.errors import OutputError, TableError
from napari_deepheme.files import open_regular, read_bounded

if TYPE_CHECKING:
    import pandas as pd

MAX_TABLE_BYTES = 256 * 2**20
_MAX_COLUMNS, _MAX_FIELDS = 10_000, 15 * 10**6
_LONGEST_HEADER = 2**20
_MIN_FREE = 2**20


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a file of its own, then put it in place of ``path``, whole or not at all.

    The part file has a name nobody else has, so that two processes that write one table leave one of the
    two whole; it is made anew, never through a link that lies in wait, and a link at ``path`` is replaced
    rather than followed.

    Raises
    ------
    OutputError
        The file cannot be written, or holds text that has no place in UTF-8.
    """
    part: Path | None = None
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name[:32]}-", suffix=".part", dir=path.parent)
        os.close(number)
        part = Path(name)
        write(part)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
        part = None
    except OSError as err:
        raise OutputError(_cannot(path, err.strerror or str(err))) from err
    except UnicodeError as err:
        raise OutputError(_cannot(path, f"a text in it is not Unicode: {err}")) from err
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def check_output(path: Path, free: int = _MIN_FREE) -> None:
    """See that a file can be written, before hours of work depend on it.

    Parameters
    ----------
    path : Path
        The file; one that is there may be replaced.
    free : int
        Bytes that must be free.

    Raises
    ------
    OutputError
        It is a folder or a device, its name is too long, or its folder cannot be written or is full.
    """
    try:
        why = _hindrance(path, free)
    except (OSError, ValueError) as err:
        why = getattr(err, "strerror", None) or str(err)
    if why:
        raise OutputError(_cannot(path, why))


def _hindrance(path: Path, free: int) -> str:
    if os.path.lexists(path):
        if not path.is_symlink() and not path.is_file():
            return "it is there and is no file"
        tempfile.TemporaryFile(dir=path.parent).close()
    else:
        # only the file's own name shows whether the disk takes a name so long
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        path.unlink()
    lacking = shutil.disk_usage(path.parent).free < free
    return f"less than {free / 2**20:.0f} MB are free" if lacking else ""


def separator_of(text: str) -> str:
    """What separates the fields of a table's text: a comma, semicolon or tab.

    A field takes some sixty bytes in memory, however short: they are counted before they are made.

    Raises
    ------
    ValueError
        There are too many columns or fields.
    """
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    columns, fields = header.count(separator) + 1, text.count(separator) + text.count("\n")
    if columns > _MAX_COLUMNS or fields > _MAX_FIELDS:
        raise ValueError(
            f"it has {columns} columns and {fields} fields, expected at most {_MAX_COLUMNS} and {_MAX_FIELDS}"
        )
    return separator


def header_of(path: Path) -> set[str]:
    """Names in the first row of a table; none of what is no table."""
    try:
        with open_regular(path) as file:
            first = file.readline(_LONGEST_HEADER).decode("utf-8-sig")
    except (OSError, ValueError):
        return set()
    return {name.strip() for name in re.split("[,;\t]", first)}


def _texts(path: Path) -> tuple[pd.DataFrame, str]:
    """All fields as text without blanks around, under the names of the first row; and what separates them."""
    import pandas as pd  # noqa: PLC0415  who writes a table need not wait for it

    try:
        text = read_bounded(path, MAX_TABLE_BYTES).decode("utf-8-sig")
        separator = separator_of(text)
        # without a header of its own pandas refuses rows that are longer, rather than shift their fields
        table = pd.read_csv(StringIO(text), sep=separator, header=None, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as err:
        raise TableError(f"{path} cannot be read as a table ({_line(err)}); expected CSV in UTF-8.") from err
    table = table.fillna("").map(str.strip)  # of a row that is too short
    below = table.iloc[1:].set_axis(table.iloc[0].tolist(), axis=1).reset_index(drop=True)
    below = below.loc[:, [bool(name) or (below.iloc[:, i] != "").any() for i, name in enumerate(below)]]
    twice = [name for name, times in Counter(below.columns).items() if times > 1]
    if twice:
        raise TableError(f"{path}: several columns are called {', '.join(map(repr, twice))}; rename them.")
    return below, separator


def read_table(path: Path, numbers: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table as our program, a spreadsheet or napari wrote it.

    Parameters
    ----------
    path : Path
        UTF-8, with or without a byte order mark; separated by commas, semicolons (with decimal commas, as a
        spreadsheet set to German or French saves them) or tabs.
    numbers : sequence of str
        Columns that hold numbers, where they are there: float64, NaN for an empty field. All others are text.

    Raises
    ------
    TableError
        Not a table, too large, a row longer than the first, several columns of one name, or a number that is
        none or not finite; the message says in which row.
    """
    table, separator = _texts(path)
    for name in table.columns.intersection(list(numbers)):
        table[name] = _numbers(path, table[name], decimal="," if separator == ";" else ".")
    return table


def _numbers(path: Path, column: pd.Series[str], decimal: str) -> pd.Series[float]:
    import pandas as pd  # noqa: PLC0415  as above

    texts = column.str.replace(decimal, ".", regex=False)
    texts = texts.where(texts.str.lower() != "nan", "")  # what napari writes of an empty field
    values = pd.to_numeric(texts, errors="coerce").astype(np.float64)
    wrong = np.flatnonzero(((texts != "") & ~np.isfinite(values)).to_numpy())
    if wrong.size:
        raise TableError(
            f"{path}: {column.iloc[wrong[0]]!r} in row {wrong[0] + 2}, column {column.name}, is not a finite "
            "number; correct the row or take it out."
        )
    return values


def _cannot(path: Path, why: str) -> str:
    return f"{path} cannot be written ({why}); choose another file or folder, or free some space."


def _line(err: Exception) -> str:
    lines = str(err).strip().splitlines()
    return lines[0][:200] if lines else type(err).__name__


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
