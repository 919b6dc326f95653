"""Where analysis files lie, and which of them a run goes on with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_data_path

from napari_deepheme.errors import AnalysisFileError
from napari_deepheme.store.analysis_file import AnalysisFile
from napari_deepheme.store.opening import create_analysis, open_analysis

SUFFIX = ".deepheme.db"

_PACKAGE = Path(__file__).parents[1]


def analysis_folder(slide: Path) -> Path:
    """Where a window keeps the analyses of a slide: beside it, or a place of its own if that is read-only."""
    folder = slide.absolute().parent
    if os.access(folder, os.W_OK) and _PACKAGE not in folder.parents:
        return folder
    own = user_data_path("napari-deepheme") / "analyses"
    own.mkdir(parents=True, exist_ok=True)
    return own


def analyses_of(slide: Path, folder: Path) -> list[Path]:
    """Analysis files of a slide by their names, the newest first."""
    files = [
        *folder.glob(f"{_escaped(slide.stem)}{SUFFIX}"),
        *folder.glob(f"{_escaped(slide.stem)}.*{SUFFIX}"),
    ]
    return sorted(files, key=lambda file: -file.stat().st_mtime)


def continued(
    slide: Path, folder: Path, signature: Mapping[str, str], *, fresh: bool = False
) -> tuple[AnalysisFile, str]:
    """The analysis file for a run: one of the same signature, else a new one.

    Analyses of the same slide with other options lie side by side, ``<slide>.deepheme.db``,
    ``<slide>.2.deepheme.db`` and so on; none is ever mixed with another or removed.

    Parameters
    ----------
    slide : Path
    folder : Path
    signature : mapping of str to str
        See :func:`~napari_deepheme.store.signature_of`.
    fresh : bool
        Start a new file even if there is one of this signature.

    Returns
    -------
    file : AnalysisFile
        Open for writing.
    remark : str
        A sentence on what it goes on with or lies beside, or nothing.

    Raises
    ------
    AnalysisFileError
        It cannot be written, or another process writes it.
    """
    others = []
    for path in analyses_of(slide, folder):
        differing = _differing(path, signature)
        if not differing and not fresh:
            return _taken_up(path)
        others.append((path, differing))
    file = create_analysis(_free(slide, folder), signature)
    if not others:
        return file, ""
    path, differing = others[0]
    why = f"differs in {', '.join(differing)}" if differing else "is kept"
    return file, f"{path.name} {why}; this analysis lies beside it as {file.path.name}."


def _taken_up(path: Path) -> tuple[AnalysisFile, str]:
    file = open_analysis(path, write=True)
    if file.read_only:
        file.close()
        raise AnalysisFileError(
            f"{path} is being written by another program, or is read-only; wait for it, or choose another "
            "folder."
        )
    n = len(file.done())
    if file.finished:
        return file, f"{path.name} holds this analysis, finished; nothing is computed twice."
    return file, f"Going on with {path.name}: {n} parts of the slide are done." if n else ""


def _differing(path: Path, signature: Mapping[str, str]) -> list[str]:
    """In what an analysis differs; something even if the file cannot be read."""
    try:
        with open_analysis(path) as file:
            known = file.signature
    except AnalysisFileError:
        return ["everything: it cannot be read"]
    return [name for name in signature if known.get(name) != signature[name]]


def _free(slide: Path, folder: Path) -> Path:
    path, number = folder / f"{slide.stem}{SUFFIX}", 1
    while path.exists():
        number += 1
        path = folder / f"{slide.stem}.{number}{SUFFIX}"
    return path


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "[]*?" else char for char in name)
