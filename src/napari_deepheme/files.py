"""Files that other people made: only regular ones are opened, and none fills the memory."""

from __future__ import annotations

import os
import stat
import tomllib
import zlib
from pathlib import Path
from typing import Any, BinaryIO

_MAX_TOML_BYTES = 4 * 2**20

_KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; anything else is refused before it is opened.

    A pipe that nobody writes to would be waited for without end, and a device may have none.

    Raises
    ------
    OSError
        It is not there, is no regular file, or cannot be read; the message says which.
    """
    _check(path.stat().st_mode)
    # should it have become a pipe since, opening it does not wait
    number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        _check(os.fstat(number).st_mode)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_bounded(path: Path, most: int) -> bytes:
    """Read a regular file of at most ``most`` bytes.

    Raises
    ------
    OSError
        As :func:`open_regular`, or it is larger.
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(f"it is larger than {most / 2**20:g} MB")
    return data


def is_file(path: Path) -> bool:
    """Whether a regular file is there; a path that cannot be is not, nor one that may not be looked at."""
    return os.path.isfile(path)  # noqa: PTH113  Path.is_file raises for a name that is too long


def is_folder(path: Path) -> bool:
    """The same for a folder."""
    return os.path.isdir(path)  # noqa: PTH112  as above


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of at most 4 MB.

    Raises
    ------
    OSError
        As :func:`read_bounded`.
    ValueError
        It is no UTF-8 or no TOML, nested too deeply, or has a number of thousands of digits.
    """
    try:
        return tomllib.loads(read_bounded(path, _MAX_TOML_BYTES).decode("utf-8"))
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err


def gunzip_bounded(data: bytes, most: int) -> bytes:
    """Unpack gzip to at most ``most`` bytes.

    Raises
    ------
    OSError
        It would be more, or the data are damaged or cut short.
    """
    parts: list[bytes] = []
    room = most + 1
    while data and room:
        unpacker = zlib.decompressobj(31)
        try:
            part = unpacker.decompress(data, room)
        except zlib.error as err:
            raise OSError(f"damaged gzip, {err}") from err
        if not unpacker.eof and len(part) < room:
            raise OSError("the gzip is cut short")
        parts.append(part)
        room -= len(part)
        data = unpacker.unused_data.lstrip(b"\0")  # several in a row, or filled up with zeros
    if not room:
        raise OSError(f"it unpacks to more than {most / 2**20:g} MB")
    return b"".join(parts)


def _check(mode: int) -> None:
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise OSError(f"it is {name}, expected a file")
