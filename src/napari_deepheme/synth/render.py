"""Windows of a smear, whole or in any tiling the same pixels, without ever holding the smear."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_deepheme.synth.cell import Sprite, paint
from napari_deepheme.synth.field import Pool, pool, red_light
from napari_deepheme.synth.smear import SmearSpec, body, plans, truth

_SPACING_UM = 7.6  # between red cells, were they in rows
_ROWS = 8  # of red cells in a block, the unit of seeding
_REACH_UM = 26.0  # no red cell, pushed aside as it may be, shows farther from its block
_SCALE = 128  # steps of thickness from bare glass to a red cell's rim
_ZERO = 96  # index of bare glass in the table of colours
_THROUGH = np.float32(0.6)  # of the light a cell takes where another lies on it: both are flatter there
_NOISE = 509  # side of the repeated noise, px; prime so that it never keeps step with tiles


class Renderer:
    """Renders windows of one smear; keep it for as long as windows of that smear are wanted.

    Everything is seeded by its place (a block of red cells, a cell), so a pixel depends on neither the
    window nor the order of the windows.
    """

    def __init__(self, spec: SmearSpec) -> None:
        self.spec = spec
        self.stain = spec.settled_stain()
        table = truth(spec)
        self._plans = plans(spec)
        self._centres = table[["y_px", "x_px"]].to_numpy(np.int64)
        sides = table[["height_px", "width_px"]].to_numpy(np.int64)
        self._half = sides // 2 + int(2.0 / spec.mpp) + 2
        self._radius = sides.max(axis=1, initial=0) * spec.mpp / 2
        self._tree = cKDTree(self._centres * spec.mpp) if len(table) else None
        self._body = body(spec)
        self._block_px = round(_ROWS * _SPACING_UM / spec.mpp)
        ready = pool(spec.mpp, round(self.stain.blur_um / spec.mpp * 4) / 4)
        self._discs, self._platelets = _in_steps(ready)
        self._waves = _waves(spec)
        self._noise = _noise(spec, self.stain.noise)
        self._lamp = np.array(self.stain.light, np.float32)
        steps = ((np.arange(2048) - _ZERO) / _SCALE).astype(np.float32)
        colours = red_light(steps[None], self.stain)[0] * self._lamp
        self._colours = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
        self._red = lru_cache(maxsize=4096)(self._red_cells)
        self._sprite = lru_cache(maxsize=256)(self._paint)

    def window(self, top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
        """RGB of a window, level-0 pixels, shape (height, width, 3)."""
        steps = self._glass(top, left, height, width)
        blocks = [self._red(*block) for block in self._blocks(top, left, height, width)]
        for red, _ in blocks:
            self._add_red(steps, red - (top, left, 0))
        image: NDArray[np.uint8] = np.take(self._colours, steps, axis=0, mode="clip")
        for _, platelets in blocks:
            for y, x, index in platelets:
                self._lay(image, self._platelets[index], (y, x), (top, left))
        crowd = np.zeros((height, width), np.float32) if self.spec.clustered else None
        for index in self._cells_in(top, left, height, width):
            self._lay(image, self._sprite(int(index)), self._centres[index], (top, left), crowd)
        return image

    def _glass(self, top: int, left: int, height: int, width: int) -> NDArray[np.int16]:
        """Thickness, in steps, of the film of plasma, and the camera's noise."""
        down, across = self._waves
        rows, cols = slice(top, top + height), slice(left, left + width)
        film = down[0][rows, None] * across[0][None, cols] + down[1][rows, None] + across[1][None, cols]
        return film.astype(np.int16) + self._grain(top, left, height, width) + np.int16(_ZERO)

    def _grain(self, top: int, left: int, height: int, width: int) -> NDArray[np.int16]:
        """The repeated noise in a window."""
        start = left % _NOISE
        row = np.tile(self._noise, (1, -(-(start + width) // _NOISE)))[:, start : start + width]
        result: NDArray[np.int16] = row[np.arange(top, top + height) % _NOISE]
        return result

    def _blocks(self, top: int, left: int, height: int, width: int) -> Iterator[tuple[int, int]]:
        reach = int(_REACH_UM / self.spec.mpp)
        side = self._block_px
        for by in range((top - reach) // side, (top + height + reach) // side + 1):
            for bx in range((left - reach) // side, (left + width + reach) // side + 1):
                yield by, bx

    def _red_cells(self, by: int, bx: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Red cells and platelets of a block: rows of y, x (level-0 pixels) and the one of the pool."""
        # Seeds must not be negative, and blocks above and left of the picture reach into it.
        rng = np.random.default_rng([self.spec.seed, 5, by + 2, bx + 2])
        axis = (np.arange(_ROWS) + 0.5) * _SPACING_UM
        places = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        places = places + np.clip(rng.normal(0, 2.1, places.shape), -5, 5)
        places += np.array([by, bx]) * self._block_px * self.spec.mpp
        picks = rng.integers(len(self._discs), size=len(places))
        taken = rng.uniform(size=len(places)) < self._body.cover(places)
        if not taken.any():
            return np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64)
        places, keep = self._push_aside(places, rng.uniform(2.7, 4.2, len(places)))
        red = np.column_stack([np.rint(places / self.spec.mpp).astype(np.int64), picks])[taken & keep]
        return red, self._scatter(by, bx, rng)

    def _scatter(self, by: int, bx: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Platelets of a block; none on bare glass."""
        side = self._block_px
        places = rng.integers(0, side, (rng.poisson(2.0), 2)) + np.array([by, bx]) * side
        places = places[self._body.cover(places * self.spec.mpp) > 0.2]
        return np.column_stack([places, rng.integers(len(self._platelets), size=len(places))])

    def _push_aside(
        self, places: NDArray[np.float64], gap: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Move red cells (µm) out of nucleated ones; those that find no room are not kept."""
        if self._tree is None:
            return places, np.ones(len(places), bool)
        distance, nearest = self._tree.query(places)
        away = places - self._centres[nearest] * self.spec.mpp
        wanted = np.maximum(distance, self._radius[nearest] + gap)
        moved = places + away * (wanted / np.maximum(distance, 0.1) - 1)[:, None]
        again, other = self._tree.query(moved)
        free = again > self._radius[other] + 2.2
        return moved, free & (distance > 0.45 * self._radius[nearest])

    def _add_red(self, steps: NDArray[np.int16], red: NDArray[np.int64]) -> None:
        """Add red cells, rows of y, x (pixels of the window) and the disc, to the thickness."""
        height, width = steps.shape
        half = self._discs[0].shape[0] // 2
        size = 2 * half + 1
        near = (red[:, :2] > -half - 1).all(axis=1) & (red[:, 0] < height + half) & (red[:, 1] < width + half)
        for y, x, index in red[near].tolist():
            top, left, disc = y - half, x - half, self._discs[index]
            if top < 0 or left < 0 or top + size > height or left + size > width:
                disc = disc[max(-top, 0) : height - top, max(-left, 0) : width - left]
                top, left = max(top, 0), max(left, 0)
            steps[top : top + disc.shape[0], left : left + disc.shape[1]] += disc

    def _cells_in(self, top: int, left: int, height: int, width: int) -> NDArray[np.intp]:
        """Cells that show in a window, in the order of the truth table."""
        corner = np.array([top, left])
        low = (self._centres + self._half >= corner).all(axis=1)
        high = (self._centres - self._half < corner + np.array([height, width])).all(axis=1)
        return np.flatnonzero(low & high)

    def _paint(self, index: int) -> Sprite:
        rng = np.random.default_rng([self.spec.seed, 6, index])
        return paint(self._plans[index], self.stain, self.spec.mpp, rng)

    def _lay(
        self,
        image: NDArray[np.uint8],
        sprite: Sprite,
        centre: NDArray[np.int64] | tuple[int, int],
        corner: tuple[int, int],
        crowd: NDArray[np.float32] | None = None,
    ) -> None:
        """Lay a sprite with its middle at ``centre`` over a window that begins at ``corner``.

        It hides what is behind it, all but the cells of which ``crowd``, updated here, says where they are:
        there the light goes through both.
        """
        height, width = sprite.cover.shape
        top, left = int(centre[0]) - height // 2 - corner[0], int(centre[1]) - width // 2 - corner[1]
        y0, y1 = max(top, 0), min(top + height, image.shape[0])
        x0, x1 = max(left, 0), min(left + width, image.shape[1])
        if y0 >= y1 or x0 >= x1:
            return
        part = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        behind = image[y0:y1, x0:x1] * (1 - sprite.cover[part][..., None])
        grain = self._grain(y0 + corner[0], x0 + corner[1], y1 - y0, x1 - x0)
        noise = grain * sprite.cover[part] * np.float32(0.5)
        lamp = self._lamp
        if crowd is not None:
            below = crowd[y0:y1, x0:x1, None]
            lamp = lamp + _THROUGH * below * (image[y0:y1, x0:x1] - lamp)
            crowd[y0:y1, x0:x1] = np.maximum(below[..., 0], sprite.cover[part])
        over = behind + sprite.light[part] * lamp + noise[..., None]
        image[y0:y1, x0:x1] = np.clip(np.rint(over), 0, 255).astype(np.uint8)


@lru_cache(maxsize=2)
def _renderer(spec: SmearSpec) -> Renderer:
    return Renderer(spec)


def render_region(
    spec: SmearSpec, top: int, left: int, height: int, width: int, downsample: int = 1
) -> NDArray[np.uint8]:
    """Render a window of a smear.

    Parameters
    ----------
    spec : SmearSpec
    top, left, height, width : int
        The window, level-0 pixels, within the smear.
    downsample : int
        Pixels averaged along each side.

    Returns
    -------
    ndarray of uint8, shape (height // downsample, width // downsample, 3)
        RGB; the same pixels whatever the window.

    Raises
    ------
    ValueError
        If the window leaves the smear.
    """
    rows, cols = spec.shape
    if top < 0 or left < 0 or height < 1 or width < 1 or top + height > rows or left + width > cols:
        raise ValueError(f"Window {top, left, height, width} is not within a smear of {rows} × {cols} px")
    return shrink(_renderer(spec).window(top, left, height, width), downsample)


def shrink(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Average blocks of ``factor`` pixels a side; what is left over at the far edges is dropped."""
    if factor == 1:
        return image
    height, width = image.shape[0] // factor * factor, image.shape[1] // factor * factor
    total = np.full((height // factor, width // factor, 3), factor * factor // 2, np.uint32)
    # One strided sum for each place in a block is several times faster than a sum over two short axes.
    for y in range(factor):
        for x in range(factor):
            total += image[y:height:factor, x:width:factor]
    result: NDArray[np.uint8] = (total // (factor * factor)).astype(np.uint8)
    return result


def _in_steps(ready: Pool) -> tuple[list[NDArray[np.int16]], tuple[Sprite, ...]]:
    return [np.rint(disc * _SCALE).astype(np.int16) for disc in ready.red], ready.platelets


def _noise(spec: SmearSpec, level: float) -> NDArray[np.int16]:
    """Noise in steps of thickness; half a grey level each, near enough."""
    white = np.random.default_rng([spec.seed, 7]).standard_normal((_NOISE, _NOISE), np.float32)
    noise: NDArray[np.int16] = np.rint(np.clip(white, -3.5, 3.5) * 2 * level).astype(np.int16)
    return noise


def _waves(spec: SmearSpec) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Slow changes of the plasma film down and across, as factors and as terms, in steps of thickness."""
    rng = np.random.default_rng([spec.seed, 8])
    sides = []
    for pixels in spec.shape:
        um = np.arange(pixels, dtype=np.float64) * spec.mpp
        sides.append([_slow(um, 170.0, rng) * np.float32(1.2), _slow(um, 450.0, rng) * np.float32(2.5)])
    return sides[0], sides[1]


def _slow(um: NDArray[np.float64], step_um: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random values ``step_um`` apart, joined smoothly, at the places ``um``."""
    values = rng.normal(0, 1, int(um[-1] / step_um) + 2)
    place = um / step_um
    before = place.astype(int)
    share = (1 - np.cos(np.pi * (place - before))) / 2
    result: NDArray[np.float32] = (values[before] * (1 - share) + values[before + 1] * share).astype(
        np.float32
    )
    return result
