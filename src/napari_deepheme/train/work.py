"""The folder of an unfinished training, beside the bundle it will become."""

from __future__ import annotations

import shutil
from pathlib import Path

from napari_deepheme.errors import OptionError

RECORD_FILE = "training.toml"


def work_folder(out: Path) -> Path:
    """Where the training of a bundle lies until it ends; :class:`OptionError` if the bundle is there."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"{out} is there already; give another folder, or remove it.")
    return out.with_name(f"{out.name}.training")


def take_place(partial: Path, out: Path) -> None:
    """Put a bundle that is whole where it belongs, in place of what was there."""
    if out.exists():
        shutil.rmtree(out)
    partial.replace(out)


def claim(work: Path, record: str, *, resume: bool) -> None:
    """Begin the folder of a training, or make sure that what lies there is the same training.

    Parameters
    ----------
    work : Path
    record : str
        TOML of everything that makes the bundle.
    resume : bool

    Raises
    ------
    OptionError
        There is an unfinished training and it is not to be gone on with, or it is another one.
    """
    file = work / RECORD_FILE
    if file.exists():
        if not resume:
            raise OptionError(f"An unfinished training lies in {work}; add --resume, or remove that folder.")
        if file.read_text(encoding="utf-8") != record:
            raise OptionError(
                f"The unfinished training in {work} is another one (other cells, recipe, seed or versions); "
                "give what it was begun with, or remove that folder."
            )
        return
    work.mkdir(parents=True, exist_ok=True)
    file.write_text(record, encoding="utf-8")
