"""OME-Zarr 0.4 and 0.5: folders of chunks, RGB of 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_deepheme.errors import SlideError
from napari_deepheme.slide.location import SlidePath
from napari_deepheme.slide.planes import GREY, BlockCache, Pixels, Source, assemble, covering
from napari_deepheme.slide.segments import FAULTS
from napari_deepheme.slide.tiff_plane import COPY_AGAIN, short
from napari_deepheme.slide.zarr_metadata import Ome, channels_fault, spacing_of

if TYPE_CHECKING:
    import zarr
    from zarr.abc.store import Store
    from zarr.types import AnyArray

_FAULTS = (*FAULTS, TypeError, AttributeError, AssertionError)
"""What zarr raises on damaged data: it promises no narrower kind."""
ZARR = "OME-Zarr"
_BLOCK = 512
_MAX_IMAGES = 20
_MAX_SIDE = 500_000


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a zarr group."""
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup"))


def open_zarr(place: SlidePath, cache: BlockCache) -> Source:
    """Open an OME-Zarr.

    Parameters
    ----------
    place : Path or RemotePath
        Its folder.
    cache : BlockCache

    Raises
    ------
    SlideError
        zarr is not installed, or it is damaged or not an 8-bit RGB image; :class:`UnreachableError` if its
        server fails.
    """
    try:
        import zarr  # noqa: PLC0415  an optional extra
    except ImportError as err:
        raise SlideError(
            f"{place}: OME-Zarr is read by zarr, which is not installed; pip install 'napari-deepheme[zarr]'."
        ) from err
    try:
        store, newer = _store(place)
        root = zarr.open_group(store, mode="r", zarr_format=3 if newer else 2, use_consolidated=False)
        return _source(place, root, cache)
    except SlideError:
        raise
    except _FAULTS as err:
        raise SlideError(f"{place}: not a readable OME-Zarr ({short(err)}); {COPY_AGAIN}") from err


def _store(place: SlidePath) -> tuple[Store, bool]:
    """The files of a zarr, and whether it is one of zarr 3; of a folder that holds both, zarr would warn."""
    from napari_deepheme.slide.zarr_store import Folder  # noqa: PLC0415  an optional extra

    if isinstance(place, Path):
        return Folder(place, read_only=True), (place / "zarr.json").is_file()
    from napari_deepheme.slide.zarr_remote import Elsewhere  # noqa: PLC0415  few slides lie elsewhere

    store = Elsewhere(place)
    for name in ("zarr.json", ".zgroup"):
        if store.read(name) is not None:
            return store, name == "zarr.json"
    raise SlideError(f"{place}: there is no OME-Zarr on the server; check the link.")


def _source(place: SlidePath, root: zarr.Group, cache: BlockCache) -> Source:
    pyramids = [_Pyramid(place, group, ome, cache) for group, ome in _images(place, root)]
    main = max(pyramids, key=lambda one: one.pixels)
    fault = main.fault()
    if fault:
        raise SlideError(
            f"{place}: expected an 8-bit RGB image, got {fault}; "
            "fluorescence and raw data cannot be used, export the slide as 8-bit RGB."
        )
    named = (
        (one.said.name.strip().lower() or f"image-{number}", one)
        for number, one in enumerate(pyramids, start=1)
        if one is not main
    )
    return Source(
        format=ZARR,
        vendor="",
        planes=tuple(main.planes()),
        spacing=spacing_of(main.said),
        associated={name: next(one.planes(name)) for name, one in named if not one.fault()},
        warnings=main.left_out(),
    )


def _images(place: SlidePath, root: zarr.Group) -> list[tuple[zarr.Group, Ome]]:
    """Groups that hold a pyramid: the folder's own, or those that bioformats2raw numbers."""
    import zarr  # noqa: PLC0415  an optional extra

    ome = Ome.of(dict(root.attrs))
    if ome.plate is not None:
        raise SlideError(f"{place}: this OME-Zarr is a plate; give the folder of one of its images.")
    if ome.multiscales:
        return [(root, ome)]
    found: list[tuple[zarr.Group, Ome]] = []
    while ome.layout is not None and len(found) < _MAX_IMAGES and str(len(found)) in root:
        group = root[str(len(found))]
        if not isinstance(group, zarr.Group):
            break
        said = Ome.of(dict(group.attrs))
        if not said.multiscales:
            break
        found.append((group, said))
    if not found:
        raise SlideError(f"{place}: the zarr holds no OME-Zarr 0.4 or 0.5 image; export the slide again.")
    return found


def _array(group: zarr.Group, path: str) -> AnyArray:
    import zarr  # noqa: PLC0415  an optional extra

    found = group[path]
    if not isinstance(found, zarr.Array):
        raise ValueError(f"level {path[:200]!r} is no array")  # noqa: TRY004  the file is wrong, not the call
    return found


class _Pyramid:
    """One image of an OME-Zarr."""

    def __init__(self, place: SlidePath, group: zarr.Group, ome: Ome, cache: BlockCache) -> None:
        self.said, self._place, self._cache, self._ome = ome.multiscales[0], place, cache, ome
        self._arrays = [_array(group, dataset.path) for dataset in self.said.datasets]
        self._names = [axis.name for axis in self.said.axes]
        if not {"y", "x"} <= set(self._names) or len(set(self._names)) != len(self._names):
            raise SlideError(
                f"{place}: its axes are {', '.join(self._names)[:80]}, expected y and x among them."
            )
        if any(array.ndim != len(self._names) for array in self._arrays):
            raise SlideError(f"{place}: a level has not the {len(self._names)} axes it names; {COPY_AGAIN}")
        self._sizes = dict(zip(self._names, self._arrays[0].shape, strict=True))
        self.pixels = self._sizes["y"] * self._sizes["x"]

    def fault(self) -> str:
        """Say what keeps it from being read as RGB, or nothing."""
        for array in self._arrays:
            channels = array.shape[self._names.index("c")] if "c" in self._names else 1
            if array.dtype != np.uint8:
                return f"pixels of type {array.dtype}"
            if channels != 3:
                return f"{channels} channel{'s' * (channels != 1)}"
        return channels_fault(self._ome.omero)

    def left_out(self) -> tuple[str, ...]:
        """Say which of several planes are not read."""
        extra = {name: n for name, n in self._sizes.items() if name not in "yxc" and n > 1}
        planes = ", ".join(f"{name.upper()} {n}" for name, n in extra.items())
        return (f"The file holds several planes ({planes}); only the first is used",) if extra else ()

    def planes(self, name: str = "level") -> Iterator[ZarrPlane]:
        """Levels that are the same picture, finest first."""
        height, width = self._sizes["y"], self._sizes["x"]
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise SlideError(f"{self._place}: the image claims {width} × {height} px; {COPY_AGAIN}")
        last = width + 1
        for number, array in enumerate(self._arrays):
            plane = ZarrPlane(self._place, array, self._names, f"{name} {number}", self._cache)
            rows, columns = plane.shape
            if not 0 < columns < last or rows < 1:
                continue
            # the ratio may be off by a pixel's rounding of the smaller level
            if abs(height * columns / rows / width - 1) <= 0.01 + 2 / min(rows, columns):
                last = columns
                yield plane


class ZarrPlane:
    """One level of an OME-Zarr."""

    def __init__(
        self, place: SlidePath, array: AnyArray, axes: list[str], name: str, cache: BlockCache
    ) -> None:
        from napari_deepheme.slide.zarr_store import bounded  # noqa: PLC0415  an optional extra

        try:
            self._array = bounded(array)
        except ValueError as err:
            raise SlideError(
                f"{place}: {name} cannot be read ({short(err)}); export the slide with blosc, zstd or gzip."
            ) from err
        self._place, self._axes, self._name, self._cache = place, axes, name, cache
        y, x = axes.index("y"), axes.index("x")
        self.shape: tuple[int, int] = (array.shape[y], array.shape[x])
        self.block = _whole_chunks(array.chunks[y]), _whole_chunks(array.chunks[x])
        self._damage: dict[tuple[int, int], str] = {}

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the pixels of a half-open window that lies inside the plane, grey where it is damaged."""
        return assemble((top, left, bottom, right), self.block, self._get)

    def damage(self, top: int, left: int, bottom: int, right: int) -> str:
        """Say which block of a window that was read is damaged and how, in a sentence, or nothing."""
        for at in covering((top, left, bottom, right), self.block) if self._damage else ():
            if at in self._damage:
                return (
                    f"{self._place}: block {at} of {self._name} is damaged ({self._damage[at]}); {COPY_AGAIN}"
                )
        return ""

    def _get(self, row: int, column: int) -> Pixels:
        return self._cache.get((self._name, row, column), lambda: self._block(row, column))

    def _block(self, row: int, column: int) -> Pixels:
        starts = (row * self.block[0], column * self.block[1])
        rows, columns = (
            slice(start, min(start + step, n))
            for start, step, n in zip(starts, self.block, self.shape, strict=True)
        )
        wanted: dict[str, slice] = {"y": rows, "x": columns, "c": slice(0, 3)}
        key = tuple(wanted.get(name, 0) for name in self._axes)
        order = [name for name in self._axes if name in wanted]
        try:
            pixels = np.asarray(self._array[key])
        except _FAULTS as err:
            self._damage[row, column] = short(err)
            return np.full((rows.stop - rows.start, columns.stop - columns.start, 3), GREY, np.uint8)
        return np.ascontiguousarray(pixels.transpose([order.index(name) for name in "yxc"]), dtype=np.uint8)


def _whole_chunks(chunk: int) -> int:
    return chunk * max(1, _BLOCK // chunk)
