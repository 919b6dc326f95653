"""Rules and ranges that come with the package or from a person's own TOML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from napari_deepheme.errors import OptionError
from napari_deepheme.files import is_file, read_toml

Model = TypeVar("Model", bound=BaseModel)


def read_own(model: type[Model], source: str, folder: Path, names: Sequence[str], what: str) -> Model:
    """Read a model from the TOML file of that name in a folder, or from a file of one's own.

    Parameters
    ----------
    model : type
    source : str
        One of ``names``, or a path.
    folder : Path
    names : sequence of str
        Files in ``folder``, without their suffix.
    what : str
        What it is, for messages.

    Raises
    ------
    OptionError
        Neither a name nor a file, or a fault of the file.
    """
    path = folder / f"{source}.toml" if source in names else Path(source)
    if not is_file(path):
        raise OptionError(
            f"{source} is no {what} and no file; there are {', '.join(names)}, "
            "or give a TOML file of your own."
        )
    try:
        return model.model_validate(read_toml(path))
    except ValidationError as err:  # before ValueError, which it is one of
        first = err.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise OptionError(f"The {what} {path}: {where}: {first['msg']}, got {first['input']!r}.") from err
    except (OSError, ValueError) as err:
        raise OptionError(f"The {what} {path} cannot be read as TOML ({err}).") from err
