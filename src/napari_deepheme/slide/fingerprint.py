"""What tells one slide from another wherever its file lies."""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256
from pathlib import Path

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.file import open_bytes
from napari_deepheme.slide.location import RemotePath, SlidePath
from napari_deepheme.slide.metadata import SlideInfo
from napari_deepheme.slide.planes import BlockCache
from napari_deepheme.slide.zarr_source import ZARR, open_zarr

_END = 2**20
_MIDDLE = 2048


def fingerprint(info: SlideInfo) -> str:
    """Size, hash of the first and the last MiB of the file, and dimensions; the name does not matter.

    Of a slide that is a folder, the names and sizes of its files stand for its size, and the first and the
    last of them for its ends. An OME-Zarr is known by the pixels in the middle of its smallest level, which
    can be had from a server that lists nothing.

    Raises
    ------
    SlideError
        The file cannot be read; :class:`UnreachableError` if its server fails.
    """
    try:
        if info.format == ZARR:
            return _zarr_fingerprint(info.path, info.shape)
        if isinstance(info.path, RemotePath):
            return _remote_fingerprint(info.path, info.shape)
        return _fingerprint(info.path, info.shape)
    except OSError as err:
        raise SlideError(f"{info.path} cannot be read ({err.strerror or err}).") from err


def _fingerprint(path: Path, shape: tuple[int, int]) -> str:
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    digest = sha256()
    for file in files if len(files) > 1 else ():
        digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
    for file in dict.fromkeys((*files[:1], *files[-1:])):
        size = file.stat().st_size
        with file.open("rb") as opened:
            digest.update(opened.read(_END))
            opened.seek(max(0, size - _END))
            digest.update(opened.read(_END))
    total = sum(file.stat().st_size for file in files)
    return f"{total}-{digest.hexdigest()[:24]}-{shape[0]}x{shape[1]}"


def _remote_fingerprint(path: RemotePath, shape: tuple[int, int]) -> str:
    """The same as of a copy on this machine."""
    digest = sha256()
    with closing(open_bytes(path)) as file:
        end = min(_END, file.size)
        digest.update(file.read(0, end))
        digest.update(file.read(file.size - end, end))
        return f"{file.size}-{digest.hexdigest()[:24]}-{shape[0]}x{shape[1]}"


def _zarr_fingerprint(path: SlidePath, shape: tuple[int, int]) -> str:
    """Of a folder and of its copy on a server the same."""
    plane = open_zarr(path, BlockCache()).planes[-1]
    starts = [max(0, (side - _MIDDLE) // 2) for side in plane.shape]
    ends = [min(side, start + _MIDDLE) for side, start in zip(plane.shape, starts, strict=True)]
    digest = sha256(plane.read(*starts, *ends).tobytes())
    return f"zarr-{digest.hexdigest()[:24]}-{shape[0]}x{shape[1]}"
