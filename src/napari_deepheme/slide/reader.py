"""Slides: lazy pyramids of RGB pixels whose µm/px is known or asked for, never guessed."""

from __future__ import annotations

import math
import weakref
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from napari_deepheme.errors import ScaleError
from napari_deepheme.slide.icc import in_srgb, profile_name
from napari_deepheme.slide.location import SlidePath, slide_path
from napari_deepheme.slide.metadata import MPP_RANGE, Level, SlideInfo, checked_spacing, plausible
from napari_deepheme.slide.planes import BlockCache, Damaged, Pixels, Plane, Source, with_coarser
from napari_deepheme.slide.resample import resample
from napari_deepheme.slide.sources import open_source

if TYPE_CHECKING:
    import dask.array as da
from napari_deepheme.slide.level_array import LevelArray

_CHUNK = 512
_LEVEL_TOLERANCE = 1.01  # real downsamples are 2.0005 where 2 is meant


class Slide:
    """An open slide; made by :func:`open_slide`, safe to read from several threads.

    Coordinates are (y, x) in level-0 pixels, pixel centres at integers. Pickling keeps the path and
    the µm/px, and opens the file again.

    Attributes
    ----------
    info : SlideInfo
        What is known without reading pixels.
    """

    def __init__(
        self,
        source: Source,
        info: SlideInfo,
        cache: BlockCache,
        given_mpp: float | None,
        *,
        icc: bool = False,
    ) -> None:
        self.info = info
        self._source, self._cache, self._given_mpp, self._icc = source, cache, given_mpp, icc
        self._planes, self._downsamples = with_coarser(
            source.planes, [level.downsample for level in info.levels], cache
        )
        self._closer = weakref.finalize(self, source.close)

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        mpp = "unknown" if self.info.mpp is None else f"{self.info.mpp[0]:g}"
        height, width = self.info.shape
        return f"<Slide {self.info.path.name!r} {self.info.format} {height} x {width}, {mpp} um/px>"

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.info.path, self._given_mpp, self._icc)

    def close(self) -> None:
        """Close the file and let its decoded tiles go."""
        self._closer()
        self._cache.clear()

    def read(
        self,
        centre: tuple[float, float],
        shape: tuple[int, int],
        mpp: float,
        *,
        damaged: Damaged = Damaged.RAISE,
    ) -> Pixels:
        """Pixels around a point at a scale in µm/px, from the best level, resampled if need be.

        Parameters
        ----------
        centre : tuple of float
            (y, x), level-0 pixels: where the middle of the result lies.
        shape : tuple of int
            Rows and columns of the result.
        mpp : float
            µm per pixel of the result.
        damaged : Damaged
            Whether a damaged tile is raised or shown as its decoder gives it: with the wrong pixels where
            it lost its way, grey where nothing can be made of it.

        Returns
        -------
        ndarray of uint8, shape (h, w, 3)
            RGB; beyond the slide its edge pixels are repeated.

        Raises
        ------
        ScaleError
            The slide's own µm/px is not known.
        DamagedTileError
            The decoder of a tile failed, or complained: it resynchronised, or ran dry. Other tiles can be
            read.
        """
        own = self.scale()
        return self.read_downsampled(centre, shape, (mpp / own[0], mpp / own[1]), damaged=damaged)

    def read_downsampled(
        self,
        centre: tuple[float, float],
        shape: tuple[int, int],
        downsample: tuple[float, float],
        *,
        damaged: Damaged = Damaged.RAISE,
    ) -> Pixels:
        """Pixels around a point, ``downsample`` (y, x) level-0 pixels apart; see :meth:`read`."""
        if min(shape) < 1 or not all(0 < each < math.inf for each in downsample):
            raise ValueError(f"read: expected a positive shape and downsample, got {shape} and {downsample}")
        level = self._best_level(downsample)
        return resample(self._planes[level], self._downsamples[level], centre, shape, downsample, damaged)

    def overview(self, max_px: int = 2048) -> tuple[Pixels, tuple[float, float]]:
        """Read the whole slide, its longer side at most ``max_px``, and its downsample (y, x).

        Damaged tiles are shown: this is for finding one's way, and one of them must not hide the rest.
        """
        height, width = self.info.shape
        factor = max(1.0, max(height, width) / max_px)
        shape = (max(1, round(height / factor)), max(1, round(width / factor)))
        downsample = (height / shape[0], width / shape[1])
        middle = ((height - 1) / 2, (width - 1) / 2)
        return self.read_downsampled(middle, shape, downsample, damaged=Damaged.SHOW), downsample

    def pyramid(self) -> list[da.Array]:
        """Lazy arrays (h, w, 3), uint8, finest first, in square chunks.

        Resolutions the file lacks are averaged from the one above when they are looked at. Damaged tiles
        are shown.
        """
        import dask.array as da  # noqa: PLC0415  only a viewer needs it
        from dask.base import tokenize  # noqa: PLC0415

        path = self.info.path
        stat = path.stat() if isinstance(path, Path) else None
        token = tokenize(path, *(() if stat is None else (stat.st_mtime_ns, stat.st_size)))
        return [
            da.from_array(  # type: ignore[no-untyped-call]
                LevelArray(self, level),
                chunks=(_CHUNK, _CHUNK, 3),
                name=f"slide-{token}-{level}",
                asarray=False,
                fancy=False,
            )
            for level in range(len(self._planes))
        ]

    def associated_image(self, name: str) -> Pixels:
        """Read the label, macro, thumbnail … of that name (see ``info.associated``), RGB.

        Raises
        ------
        KeyError
            The slide has no image of that name.
        SlideError
            It is damaged.
        """
        plane = self._associated(name)
        return plane.read(0, 0, *plane.shape)

    def associated_shape(self, name: str) -> tuple[int, int]:
        """Rows and columns of an associated image, without decoding it."""
        return self._associated(name).shape

    def scale(self) -> tuple[float, float]:
        """µm/px of level 0, (y, x).

        Raises
        ------
        ScaleError
            It is not known.
        """
        if self.info.mpp is None:
            why = "; ".join(self.info.warnings) or "its tags do not say it"
            raise ScaleError(
                f"{self.info.path}: the slide's µm/px is not known ({why}); give it (--mpp, or mpp=), "
                "typically 0.25 for a 40x and 0.1 for a 100x scan."
            )
        return self.info.mpp

    def level_pixels(self, level: int, window: tuple[int, int, int, int]) -> Pixels:
        """Pixels of a half-open window (top, left, bottom, right) of one level of :meth:`pyramid`."""
        return self._planes[level].read(*window)

    def damage(self, level: int, window: tuple[int, int, int, int]) -> str:
        """Say which tile of a window that :meth:`level_pixels` gave is damaged, and how, or nothing."""
        return self._planes[level].damage(*window)

    def level_shape(self, level: int) -> tuple[int, int]:
        """Rows and columns of one level of :meth:`pyramid`."""
        return self._planes[level].shape

    def _associated(self, name: str) -> Plane:
        if name not in self._source.associated:
            known = ", ".join(self.info.associated) or "none"
            raise KeyError(f"{self.info.path}: no associated image {name!r}; it has: {known}")
        return self._source.associated[name]

    def _best_level(self, downsample: tuple[float, float]) -> int:
        fitting = [
            level
            for level, own in enumerate(self._downsamples)
            if all(a <= b * _LEVEL_TOLERANCE for a, b in zip(own, downsample, strict=True))
        ]
        return max(fitting, default=0)


def open_slide(path: str | SlidePath, *, mpp: float | None = None, icc: bool = False) -> Slide:
    """Open a whole-slide image or a field of view.

    Parameters
    ----------
    path : str, Path or RemotePath
        The file; a TIFF or OME-Zarr on another machine by its URL (``https://``, ``s3://``, ``gs://``).
    mpp : float, optional
        µm per pixel of level 0; replaces what the file says.
    icc : bool
        Whether colours are converted to sRGB by the file's ICC profile, for people's eyes. Analyses take
        them as they are: so did those that the networks learned from.

    Raises
    ------
    ScaleError
        ``mpp`` is not between 0.05 and 5 µm/px.
    SlideError
        The file is missing, damaged or of a kind that is not supported; :class:`UnreachableError` if its
        server or disk fails.
    """
    path = slide_path(path)
    if mpp is not None and not plausible((mpp, mpp)):
        low, high = MPP_RANGE
        raise ScaleError(
            f"{path}: the µm/px given by the user is {mpp:g}, expected {low:g} to {high:g} "
            "(0.25 for a typical 40x scan); correct --mpp (mpp=) or leave it out."
        )
    cache = BlockCache()
    source = open_source(path, cache)
    try:
        source = in_srgb(source) if icc else source
        return Slide(source, _info(path, source, mpp), cache, mpp, icc=icc)
    except BaseException:
        source.close()
        raise


def _reopen(path: SlidePath, mpp: float | None, icc: bool) -> Slide:
    return open_slide(path, mpp=mpp, icc=icc)


def _info(path: SlidePath, source: Source, mpp: float | None) -> SlideInfo:
    shape = source.planes[0].shape
    levels = tuple(
        Level(plane.shape, (shape[0] / plane.shape[0], shape[1] / plane.shape[1])) for plane in source.planes
    )
    spacing, warnings = checked_spacing(source.spacing)
    if mpp is not None:
        spacing, warnings = ((mpp, mpp), "given by the user"), ()
    return SlideInfo(
        path=path,
        format=source.format,
        vendor=source.vendor,
        shape=shape,
        levels=levels,
        mpp=spacing[0],
        mpp_source=spacing[1],
        associated=tuple(source.associated),
        warnings=source.warnings + warnings,
        objective=source.objective,
        icc=profile_name(source.icc),
    )
