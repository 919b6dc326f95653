"""The state of a training on disk, with a hash: a flipped bit must not become other weights."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import torch

from napari_deepheme.errors import OptionError

_MAGIC = b"napari-deepheme state\n"
_HEAD = len(_MAGIC) + 32


def write_state(file: Path, state: dict[str, object]) -> None:
    """Write a state whole or not at all."""
    buffer = BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    head = _MAGIC + sha256(content).digest()

    def write(part: Path) -> None:
        with part.open("wb") as opened:
            opened.write(head)
            opened.write(content)

    replace_file(file, write)


def read_state(file: Path, device: torch.device) -> dict[str, object]:
    """Read a state back, nothing but tensors and plain values.

    Raises
    ------
    OptionError
        It is cut short, altered, or none.
    """
    try:
        data = file.read_bytes()
        if data.startswith(_MAGIC):
            content = memoryview(data)[_HEAD:]
            if sha256(content).digest() != data[len(_MAGIC) : _HEAD]:
                raise ValueError("it is not what was written, its SHA-256 differs")  # noqa: TRY301
        else:  # of a version before 0.2, without a hash
            content = memoryview(data)
        state = torch.load(BytesIO(content), map_location=device, weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, LookupError, pickle.UnpicklingError) as err:
        raise OptionError(_damaged(file, str(err).strip().splitlines())) from err
    if not isinstance(state, dict):
        raise OptionError(_damaged(file, ["it holds no state"]))
    return state


def replace_file(file: Path, write: Callable[[Path], None]) -> None:
    """Write a file whole or not at all."""
    partial = file.with_name(f"{file.name}.partial")
    write(partial)
    partial.replace(file)


def _damaged(file: Path, why: list[str]) -> str:
    return (
        f"{file}: the state of the unfinished training is damaged ({why[0][:120] if why else 'unreadable'}); "
        f"delete the folder {file.parent} to begin this training anew."
    )
