"""Where analysis files lie, and which of them a run goes on with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_data_path

from napari_deepheme.errors import AnalysisFileError, BusyError
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.store.analysis_file import AnalysisFile
from napari_deepheme.store.opening import create_analysis, open_analysis

SUFFIX = ".deepheme.db"
CHOICE_SECONDS = 30.0
"""How long to wait for another process that looks for the file of the same slide."""
_MOST_MISSING = 8
"""Numbers in a row that may be missing among the analyses of a slide, as where somebody removed some."""

_PACKAGE = Path(__file__).parents[1]


def analysis_folder(slide: SlidePath) -> Path:
    """Where a window keeps the analyses of a slide: beside it, or a place of its own if that is read-only."""
    if isinstance(slide, Path):
        folder = slide.absolute().parent
        if os.access(folder, os.W_OK) and _PACKAGE not in folder.parents:
            return folder
    own = user_data_path("napari-deepheme") / "analyses"
    own.mkdir(parents=True, exist_ok=True)
    return own


def analyses_of(slide: SlidePath, folder: Path) -> list[Path]:
    """Analysis files of a slide by their names, those that a person gave too, the newest first.

    Lists the folder; see :func:`numbered_analyses` for one with a million of them.
    """
    files = [
        *folder.glob(f"{_escaped(slide.stem)}{SUFFIX}"),
        *folder.glob(f"{_escaped(slide.stem)}.*{SUFFIX}"),
    ]
    return sorted(files, key=lambda file: -file.stat().st_mtime)


def numbered_analyses(slide: SlidePath, folder: Path) -> list[Path]:
    """Analysis files of a slide by the names that runs give them, the newest first.

    They are looked for one by one: a folder that is listed for each slide costs more the more slides it has.
    """
    changed: dict[Path, float] = {}
    number = missing = 0
    while missing < _MOST_MISSING:
        number += 1
        path = _numbered(slide, folder, number)
        try:
            changed[path], missing = path.stat().st_mtime, 0
        except FileNotFoundError:
            missing += 1
    return sorted(changed, key=lambda path: -changed[path])


def continued(
    slide: SlidePath, folder: Path, signature: Mapping[str, str], *, fresh: bool = False
) -> tuple[AnalysisFile, str]:
    """The analysis file for a run: one of the same signature, else a new one.

    Analyses of the same slide with other options lie side by side, ``<slide>.deepheme.db``,
    ``<slide>.2.deepheme.db`` and so on; none is ever mixed with another or removed.

    Parameters
    ----------
    slide : Path or RemotePath
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
        It cannot be written; :class:`BusyError` if another process writes it.
    """
    with _choosing(slide, folder):
        return _continued(slide, folder, signature, fresh=fresh)


@contextmanager
def _choosing(slide: SlidePath, folder: Path) -> Iterator[None]:
    """Let one process at a time look for the file of a slide, so that no two make one each.

    The lock is the system's, as that of an analysis file: it ends with the process that holds it, and over
    NFS and SMB with the lease of a machine that is gone. A lock with a time of its own would have to be
    broken by guesswork, and two who write one database spoil it.
    """
    lock = FileLock(folder / f".{slide.stem}{SUFFIX}-choice", timeout=CHOICE_SECONDS)
    try:
        lock.acquire()
    except Timeout as err:
        raise BusyError(f"{folder}: another program is looking for the analysis of {slide.name}.") from err
    except (OSError, NotImplementedError) as err:
        raise AnalysisFileError(
            f"{folder}: files cannot be locked there ({getattr(err, 'strerror', None) or err}); choose a "
            "folder that can be written, on a disk or share with locks."
        ) from err
    try:
        yield
    finally:
        # while it is held; who waits for it sees that the file is gone, and makes it anew
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _continued(
    slide: SlidePath, folder: Path, signature: Mapping[str, str], *, fresh: bool
) -> tuple[AnalysisFile, str]:
    others = []
    for path in numbered_analyses(slide, folder):
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
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
            raise AnalysisFileError(f"{path} or its folder is read-only; choose another folder.")
        raise BusyError(f"{path} is being written by another program; wait for it, or choose another folder.")
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


def _free(slide: SlidePath, folder: Path) -> Path:
    number = 1
    while (path := _numbered(slide, folder, number)).exists():
        number += 1
    return path


def _numbered(slide: SlidePath, folder: Path, number: int) -> Path:
    return folder / f"{slide.stem}{'' if number == 1 else f'.{number}'}{SUFFIX}"


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "[]*?" else char for char in name)
